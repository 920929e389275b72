"""What a block finds of the machine: threads, processes, files, variables, time, chance, limits."""

import numpy as np

from tests.chain.behaviours import reasons
from tests.chain.behaviours.row import block, differing

PICTURE = np.zeros((2, 2, 3), dtype=np.uint8)

ROWS = (
    block(
        "threads",
        """\
        from concurrent.futures import ThreadPoolExecutor
        def run(self):
            with ThreadPoolExecutor(4) as pool:
                return {'value': list(pool.map(lambda n: n * n, range(5)))}
        """,
    ),
    block(
        "a thread left running",
        """\
        import threading
        def run(self):
            threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()
            return {'value': 1}
        """,
    ),
    block(
        "a temporary file",
        """\
        import tempfile
        def run(self):
            with tempfile.NamedTemporaryFile('w+') as file:
                file.write('a')
                file.seek(0)
                return {'value': file.read()}
        """,
    ),
    block(
        "a file in the working directory",
        """\
        def run(self):
            name = 'block-was-here.txt'
            open(name, 'w').close()
            os.unlink(name)
            return {'value': 1}
        """,
    ),
    block(
        "an environment variable set",
        """\
        def run(self):
            os.environ['BLOCK_MARK'] = 'x'
            return {'value': os.environ.pop('BLOCK_MARK')}
        """,
    ),
    block(
        "the recursion limit",
        """\
        import sys
        def run(self):
            return {'value': sys.getrecursionlimit()}
        """,
    ),
    block(
        "a deep recursion that fits",
        """\
        def depth(n):
            return 0 if n == 0 else 1 + depth(n - 1)
        def run(self):
            return {'value': depth(800)}
        """,
    ),
    block(
        "a higher recursion limit",
        """\
        import sys
        def depth(n):
            return 0 if n == 0 else 1 + depth(n - 1)
        def run(self):
            before = sys.getrecursionlimit()
            sys.setrecursionlimit(5000)
            try:
                return {'value': depth(3000)}
            finally:
                sys.setrecursionlimit(before)
        """,
    ),
    block(
        "time",
        """\
        def run(self):
            begin = time.monotonic()
            time.sleep(0.01)
            return {'value': [time.time() > 1.7e9, time.monotonic() > begin]}
        """,
    ),
    block(
        "random numbers",
        """\
        import random, uuid
        def run(self):
            return {'value': [random.random() != random.random(), uuid.uuid4() != uuid.uuid4(), np.random.rand() != 2]}
        """,
    ),
    block(
        "a seeded random number",
        """\
        import random
        def run(self):
            return {'value': [random.Random(3).random(), np.random.default_rng(3).random()]}
        """,
    ),
    block(
        "Python and packages",
        """\
        import sys
        def run(self):
            return {'value': [sys.version_info[:2], np.__version__, cv2.__version__, sv.__version__]}
        """,
    ),
    block(
        "a running event loop",
        """\
        import asyncio
        def run(self):
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return {'value': False}
            return {'value': True}
        """,
    ),
    block(
        "sys.modules is shared with what runs the block",
        """\
        import sys
        def run(self):
            return {'value': 'inference' in sys.modules}
        """,
    ),
    block(
        "the encoding of file names",
        """\
        import sys
        def run(self):
            return {'value': sys.getfilesystemencoding()}
        """,
    ),
    block(
        "garbage collection",
        """\
        import gc
        def run(self):
            return {'value': [gc.isenabled(), gc.collect() >= 0]}
        """,
    ),
    *differing(
        reasons.STATE,
        ("result",),
        block(
            "a file between the elements of a run",
            """\
        import tempfile
        def run(self, image):
            path = os.path.join(tempfile.gettempdir(), 'block-seen.txt')
            with open(path, 'a+') as file:
                file.write('x')
                file.seek(0)
                seen = len(file.read())
            if seen == 2:
                os.unlink(path)
            return {'value': seen}
        """,
            {"image": [PICTURE] * 2},
        ),
        block(
            "a function of the standard library replaced",
            """\
        def run(self, image):
            seen = hasattr(math, 'mark')
            math.mark = True
            return {'value': seen}
        """,
            {"image": [PICTURE] * 2},
        ),
    ),
    *differing(
        reasons.JAIL,
        ("outcome",),
        block(
            "a process",
            """\
        import subprocess
        def run(self):
            done = subprocess.run(['echo', 'hi'], capture_output=True, text=True)
            return {'value': done.stdout}
        """,
        ),
        block(
            "os.fork",
            """\
        def run(self):
            child = os.fork()
            if child == 0:
                os._exit(0)
            return {'value': os.waitpid(child, 0)[1]}
        """,
        ),
        block(
            "multiprocessing",
            """\
        import multiprocessing
        def run(self):
            with multiprocessing.get_context('fork').Pool(1) as pool:
                return {'value': pool.map(math.sqrt, [4.0])}
        """,
        ),
        block(
            "the network",
            """\
        import socket
        def run(self):
            with socket.create_server(('127.0.0.1', 0)) as s:
                socket.create_connection(s.getsockname()).close()
            return {'value': 1}
        """,
        ),
    ),
    *differing(
        reasons.PLACE,
        ("outcome",),
        block(
            "a signal handler",
            """\
        import signal
        def run(self):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            return {'value': 1}
        """,
        ),
    ),
    *differing(
        reasons.PLACE,
        ("result",),
        block(
            "an environment variable of the server",
            """\
        def run(self):
            return {'value': 'MODAL_CONFIG_PATH' in os.environ}
        """,
        ),
        block("the working directory", "def run(self):\n    return {'value': os.path.isfile('pyproject.toml')}\n"),
        block(
            "sys.argv",
            """\
        import sys
        def run(self):
            return {'value': len(sys.argv)}
        """,
        ),
        block(
            "the main thread",
            """\
        import threading
        def run(self):
            return {'value': threading.current_thread() is threading.main_thread()}
        """,
        ),
    ),
)
