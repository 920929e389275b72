"""What a block prints, warns of and logs, and what it traces."""

from tests.chain.behaviours.row import block

ROWS = (
    block("print", "def run(self):\n    print('one', 2)\n    return {'value': 1}\n"),
    block("print to stderr", "import sys\ndef run(self):\n    print('trouble', file=sys.stderr)\n    return {'value': 1}\n"),
    block("print without a newline", "def run(self):\n    print('one', end='')\n    return {'value': 1}\n"),
    block("print in each of several elements", "def run(self, image):\n    print(image.numpy_image.max())\n    return {'value': 1}\n",
          {"image": __import__("numpy").zeros((2, 2, 3), "uint8")}),
    block("print Unicode", "def run(self):\n    print('ünï ✓ 日本')\n    return {'value': 1}\n"),
    block("print a lone surrogate", "def run(self):\n    print('a\\ud800b')\n    return {'value': 1}\n"),
    block("print control characters", "def run(self):\n    print('a\\x1b[31mred\\rb\\x07')\n    return {'value': 1}\n"),
    block("print more than is kept", "def run(self):\n    for n in range(20_000):\n        print('0123456789')\n    return {'value': 1}\n"),
    block("print before an exception", "def run(self):\n    print('before')\n    raise ValueError('x')\n"),
    block("write to sys.__stdout__", "import sys\ndef run(self):\n    sys.__stdout__.write('raw')\n    return {'value': 1}\n"),
    block("write to file descriptor 1", "def run(self):\n    os.write(1, b'raw')\n    return {'value': 1}\n"),
    block("redirect stdout", "import contextlib, io\ndef run(self):\n    with contextlib.redirect_stdout(io.StringIO()) as text:\n"
          "        print('kept')\n    return {'value': text.getvalue()}\n"),
    block("print in a thread", "import threading\ndef run(self):\n    t = threading.Thread(target=print, args=('from a thread',))\n"
          "    t.start()\n    t.join()\n    return {'value': 1}\n"),
    block("a warning", "import warnings\ndef run(self):\n    with warnings.catch_warnings():\n        warnings.simplefilter('always')\n"
          "        warnings.warn('careful')\n    return {'value': 1}\n"),
    block("a warning turned into an exception", "import warnings\ndef run(self):\n    with warnings.catch_warnings():\n"
          "        warnings.simplefilter('error')\n        warnings.warn('careful')\n"),
    block("a warning of NumPy", "def run(self):\n    return {'value': float(np.float64(1) / np.zeros(1)[0])}\n"),
    block("logging of a warning", "import logging\ndef run(self):\n    logging.getLogger('block').warning('careful')\n    return {'value': 1}\n"),
    block("logging of an info", "import logging\ndef run(self):\n    logging.getLogger('block').info('by the way')\n    return {'value': 1}\n"),
    block("a logger with a handler of its own", "import logging, sys\ndef run(self):\n    log = logging.Logger('own')\n"
          "    log.addHandler(logging.StreamHandler(sys.stderr))\n    log.info('mine')\n    return {'value': 1}\n"),
    block("a debug trace", "def run(self):\n    debug_traces.append({'a': [1, 2.5, 'x']})\n    return {'value': 1}\n"),
    block("a debug trace of an array", "def run(self):\n    debug_traces.append(np.arange(3))\n    return {'value': 1}\n"),
    block("traceback.print_exc", "import traceback\ndef run(self):\n    try:\n        1 / 0\n    except ZeroDivisionError:\n"
          "        traceback.print_exc()\n    return {'value': 1}\n"),
    block("input()", "def run(self):\n    return {'value': input('name? ')}\n"),
)
