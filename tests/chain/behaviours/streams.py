"""What a block prints, warns of and logs, and what it traces."""

import numpy as np

from tests.chain.behaviours import reasons
from tests.chain.behaviours.row import block, differing

PICTURE = np.zeros((2, 2, 3), dtype=np.uint8)

ROWS = (
    block(
        "print",
        """\
        def run(self):
            print('one', 2)
            return {'value': 1}
        """,
    ),
    block(
        "print to stderr",
        """\
        import sys
        def run(self):
            print('trouble', file=sys.stderr)
            return {'value': 1}
        """,
    ),
    block(
        "print without a newline",
        """\
        def run(self):
            print('one', end='')
            return {'value': 1}
        """,
    ),
    block(
        "print in each of several elements",
        """\
        def run(self, image):
            print(image.numpy_image.max())
            return {'value': 1}
        """,
        {"image": PICTURE},
    ),
    block(
        "print Unicode",
        """\
        def run(self):
            print('ünï ✓ 日本')
            return {'value': 1}
        """,
    ),
    block(
        "print before an exception",
        """\
        def run(self):
            print('before')
            raise ValueError('x')
        """,
    ),
    block(
        "write to sys.__stdout__",
        """\
        import sys
        def run(self):
            sys.__stdout__.write('raw')
            return {'value': 1}
        """,
    ),
    block(
        "write to file descriptor 1",
        """\
        def run(self):
            os.write(1, b'raw')
            return {'value': 1}
        """,
    ),
    block(
        "redirect stdout",
        """\
        import contextlib, io
        def run(self):
            with contextlib.redirect_stdout(io.StringIO()) as text:
                print('kept')
            return {'value': text.getvalue()}
        """,
    ),
    block(
        "print in a thread",
        """\
        import threading
        def run(self):
            t = threading.Thread(target=print, args=('from a thread',))
            t.start()
            t.join()
            return {'value': 1}
        """,
    ),
    block(
        "a warning",
        """\
        import warnings
        def run(self):
            with warnings.catch_warnings():
                warnings.simplefilter('always')
                warnings.warn('careful')
            return {'value': 1}
        """,
    ),
    block(
        "a warning turned into an exception",
        """\
        import warnings
        def run(self):
            with warnings.catch_warnings():
                warnings.simplefilter('error')
                warnings.warn('careful')
        """,
    ),
    block("a warning of NumPy", "def run(self):\n    return {'value': float(np.float64(1) / np.zeros(1)[0])}\n"),
    block(
        "logging of an info",
        """\
        import logging
        def run(self):
            logging.getLogger('block').info('by the way')
            return {'value': 1}
        """,
    ),
    block(
        "a logger with a handler of its own",
        """\
        import logging, sys
        def run(self):
            log = logging.Logger('own')
            log.addHandler(logging.StreamHandler(sys.stderr))
            log.info('mine')
            return {'value': 1}
        """,
    ),
    block(
        "a debug trace",
        """\
        def run(self):
            debug_traces.append({'a': [1, 2.5, 'x']})
            return {'value': 1}
        """,
    ),
    block(
        "a debug trace of an array",
        """\
        def run(self):
            debug_traces.append(np.arange(3))
            return {'value': 1}
        """,
    ),
    block(
        "traceback.print_exc",
        """\
        import traceback
        def run(self):
            try:
                1 / 0
            except ZeroDivisionError:
                traceback.print_exc()
            return {'value': 1}
        """,
    ),
    block("input()", "def run(self):\n    return {'value': input('name? ')}\n"),
    *differing(
        reasons.PRINTED,
        ("shown",),
        block(
            "print more than is kept",
            """\
        def run(self):
            for n in range(20_000):
                print('0123456789')
            return {'value': 1}
        """,
        ),
    ),
    *differing(
        reasons.CONTROL,
        ("shown",),
        block(
            "print control characters", "def run(self):\n    print('a\\x1b[31mred\\rb\\x07')\n    return {'value': 1}\n"
        ),
    ),
    *differing(
        reasons.PRINTED_SURROGATE,
        ("message", "line", "snippet", "stdout", "debug output"),
        block("print a lone surrogate", "def run(self):\n    print('a\\ud800b')\n    return {'value': 1}\n"),
    ),
    *differing(
        reasons.LOGGING,
        ("debug output", "shown"),
        block(
            "logging of a warning",
            """\
        import logging
        def run(self):
            logging.getLogger('block').warning('careful')
            return {'value': 1}
        """,
        ),
    ),
)
