"""What a block finds of the machine: threads, processes, files, variables, time, chance, limits."""

from tests.chain.behaviours.row import block

ROWS = (
    block("threads", "from concurrent.futures import ThreadPoolExecutor\ndef run(self):\n    with ThreadPoolExecutor(4) as pool:\n"
          "        return {'value': list(pool.map(lambda n: n * n, range(5)))}\n"),
    block("a thread left running", "import threading\ndef run(self):\n    threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()\n"
          "    return {'value': 1}\n"),
    block("a process", "import subprocess\ndef run(self):\n    done = subprocess.run(['echo', 'hi'], capture_output=True, text=True)\n"
          "    return {'value': done.stdout}\n"),
    block("os.fork", "def run(self):\n    child = os.fork()\n    if child == 0:\n        os._exit(0)\n    return {'value': os.waitpid(child, 0)[1]}\n"),
    block("multiprocessing", "import multiprocessing\ndef run(self):\n    with multiprocessing.get_context('fork').Pool(1) as pool:\n"
          "        return {'value': pool.map(math.sqrt, [4.0])}\n"),
    block("a temporary file", "import tempfile\ndef run(self):\n    with tempfile.NamedTemporaryFile('w+') as file:\n        file.write('a')\n"
          "        file.seek(0)\n        return {'value': file.read()}\n"),
    block("a file in the working directory", "def run(self):\n    name = 'block-was-here.txt'\n    open(name, 'w').close()\n    os.unlink(name)\n"
          "    return {'value': 1}\n"),
    block("a file between the elements of a run", "import tempfile\ndef run(self, image):\n    path = os.path.join(tempfile.gettempdir(), 'block-seen.txt')\n"
          "    with open(path, 'a+') as file:\n        file.write('x')\n        file.seek(0)\n        seen = len(file.read())\n"
          "    if seen == 2:\n        os.unlink(path)\n    return {'value': seen}\n",
          {"image": [__import__("numpy").zeros((2, 2, 3), "uint8")] * 2}),
    block("an environment variable set", "def run(self):\n    os.environ['BLOCK_MARK'] = 'x'\n    return {'value': os.environ.pop('BLOCK_MARK')}\n"),
    block("an environment variable of the server", "def run(self):\n    return {'value': os.environ.get('WORKFLOWS_PLUGINS') is None}\n"),
    block("the working directory", "def run(self):\n    return {'value': os.path.isfile('pyproject.toml')}\n"),
    block("the network", "import socket\ndef run(self):\n    with socket.create_server(('127.0.0.1', 0)) as s:\n"
          "        socket.create_connection(s.getsockname()).close()\n    return {'value': 1}\n"),
    block("a user id of root", "def run(self):\n    return {'value': os.getuid()}\n"),
    block("the recursion limit", "import sys\ndef run(self):\n    return {'value': sys.getrecursionlimit()}\n"),
    block("a deep recursion that fits", "def depth(n):\n    return 0 if n == 0 else 1 + depth(n - 1)\ndef run(self):\n    return {'value': depth(800)}\n"),
    block("a higher recursion limit", "import sys\ndef depth(n):\n    return 0 if n == 0 else 1 + depth(n - 1)\ndef run(self):\n"
          "    before = sys.getrecursionlimit()\n    sys.setrecursionlimit(5000)\n    try:\n        return {'value': depth(3000)}\n"
          "    finally:\n        sys.setrecursionlimit(before)\n"),
    block("time", "def run(self):\n    begin = time.monotonic()\n    time.sleep(0.01)\n"
          "    return {'value': [time.time() > 1.7e9, time.monotonic() > begin, time.tzname[0]]}\n"),
    block("random numbers differ between elements", "import random, uuid\ndef run(self, image):\n    seen = globals.setdefault('drawn', [])\n"
          "    return {'value': [random.random() != random.random(), uuid.uuid4() != uuid.uuid4(), bool(np.random.rand() >= 0)]}\n",
          {"image": [__import__("numpy").zeros((2, 2, 3), "uint8")] * 2}),
    block("a seeded random number", "import random\ndef run(self):\n    return {'value': [random.Random(3).random(), np.random.default_rng(3).random()]}\n"),
    block("Python and packages", "import sys\ndef run(self):\n    return {'value': [sys.version_info[:2], np.__version__, cv2.__version__, sv.__version__]}\n"),
    block("sys.argv", "import sys\ndef run(self):\n    return {'value': len(sys.argv)}\n"),
    block("the main thread", "import threading\ndef run(self):\n    return {'value': threading.current_thread() is threading.main_thread()}\n"),
    block("a signal handler", "import signal\ndef run(self):\n    signal.signal(signal.SIGALRM, signal.SIG_DFL)\n    return {'value': 1}\n"),
    block("a running event loop", "import asyncio\ndef run(self):\n    try:\n        asyncio.get_running_loop()\n    except RuntimeError:\n"
          "        return {'value': False}\n    return {'value': True}\n"),
    block("sys.modules is shared with what runs the block", "import sys\ndef run(self):\n    return {'value': 'inference' in sys.modules}\n"),
    block("a function of the standard library replaced", "def run(self, image):\n    seen = hasattr(math, 'mark')\n    math.mark = True\n"
          "    return {'value': seen}\n", {"image": [__import__("numpy").zeros((2, 2, 3), "uint8")] * 2}),
    block("locale and encoding", "import sys, locale\ndef run(self):\n    return {'value': [sys.getfilesystemencoding(), locale.getpreferredencoding(), sys.stdout.encoding]}\n"),
    block("garbage collection", "import gc\ndef run(self):\n    return {'value': [gc.isenabled(), gc.collect() >= 0]}\n"),
)
