"""Exceptions: of every class, at every depth, chained, and hostile ones."""

import numpy as np

from tests.chain.behaviours import reasons
from tests.chain.behaviours.row import block, differing, raising

PICTURES = [np.full((2, 2, 3), level, dtype=np.uint8) for level in (10, 20)]

STR = "class Odd(Exception):\n    def __str__(self):\n        {}\n\n"

ROWS = (
    raising("ValueError", "raise ValueError('wrong')"),
    raising("an exception without a message", "raise ValueError"),
    raising("an exception with several arguments", "raise ValueError('a', 2, [3])"),
    raising("KeyError of a text", "{}['missing']"),
    raising("KeyError of an odd key", "{}[(1, 'ü\\n', None)]"),
    raising("IndexError", "[][3]"),
    raising("AttributeError", "None.shape"),
    raising("NameError", "missing_name"),
    raising("UnboundLocalError", "x += 1"),
    raising("ZeroDivisionError", "1 / 0"),
    raising("TypeError", "'a' + 1"),
    raising("AssertionError", "assert 1 == 2, 'one is not two'"),
    raising("a bare assert", "assert 1 == 2"),
    raising("StopIteration", "next(iter([]))"),
    raising("MemoryError raised", "raise MemoryError('full')"),
    raising("MemoryError of an allocation", "bytearray(1 << 60)"),
    raising("UnicodeDecodeError", "b'\\xff'.decode()"),
    raising("OSError", "raise OSError(2, 'No such file', 'a.txt')"),
    raising("FileNotFoundError", "open('/nowhere/a.txt')"),
    raising("TimeoutError", "raise TimeoutError('slow')"),
    raising("NotImplementedError", "raise NotImplementedError"),
    raising("SyntaxError at run time", "eval('1 +')"),
    raising("a SyntaxError raised by hand", "raise SyntaxError('not mine')"),
    raising("an exception class of the block", "raise Mine('mine')", before=("class Mine(Exception):\n    pass\n\n")),
    raising("an exception class defined in the function", ("class Inner(ValueError):\n    pass\nraise Inner('inner')")),
    raising(
        "an exception with a name of Unicode", "raise Größe('✓')", before=("class Größe(Exception):\n    pass\n\n")
    ),
    raising("an exception of NumPy's compiled code", "np.zeros(3) + np.zeros(4)"),
    raising("cv2.error", "cv2.cvtColor(np.zeros((2, 2), np.uint8), cv2.COLOR_BGR2GRAY)"),
    raising(
        "an exception of the engine",
        "from roboflow_workflows.errors import StepExecutionError\n"
        "raise StepExecutionError(public_message='mine', context='here', block_id='b', block_type='t')",
    ),
    raising(
        "DynamicBlockError raised by the block",
        "from roboflow_workflows.errors import DynamicBlockError\n"
        "raise DynamicBlockError(public_message='mine', context='here')",
    ),
    raising(
        "DynamicBlockCodeError raised by the block",
        "from roboflow_workflows.errors import DynamicBlockCodeError\n"
        "raise DynamicBlockCodeError(public_message='mine')",
    ),
    raising("in a nested function", "def inner():\n    raise ValueError('deep')\ninner()"),
    raising(
        "three functions deep",
        "a()",
        before=("def c():\n    return 1 / 0\n\ndef b():\n    return c()\n\ndef a():\n    return b()\n\n"),
    ),
    raising("in a lambda", "(lambda n: n / 0)(1)"),
    raising("in a comprehension", "[1 / n for n in (1, 0)]"),
    raising("in a generator expression", "sum(1 / n for n in (1, 0))"),
    raising(
        "in a method",
        "Thing().work()",
        before=("class Thing:\n    def work(self):\n        raise ValueError('method')\n\n"),
    ),
    raising(
        "in a property",
        "Thing().work",
        before=("class Thing:\n    @property\n    def work(self):\n        return 1 / 0\n\n"),
    ),
    raising("in a callback of sorted", "sorted([1, 2], key=lambda n: n / 0)"),
    raising("in a callback of NumPy", "np.apply_along_axis(lambda row: row[9], 0, np.zeros((2, 2)))"),
    raising("in a callback of json", "json.dumps(object(), default=lambda value: 1 / 0)"),
    raising(
        "a class called with too many arguments",
        "Thing(1)",
        before=("class Thing:\n    def __init__(self):\n        pass\n\n"),
    ),
    raising(
        "in a with statement's exit",
        ("with Thing():\n    pass"),
        before=(
            "class Thing:\n"
            "    def __enter__(self):\n"
            "        pass\n"
            "    def __exit__(self, *_):\n"
            "        raise ValueError('exit')\n"
            "\n"
        ),
    ),
    raising("in a statement of several lines", "dict(\n    a=1,\n    b=[\n        1 / 0,\n    ],\n)"),
    raising("raise from None", ("try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('outer') from None")),
    raising("raised again", "try:\n    {}['a']\nexcept KeyError:\n    raise"),
    raising(
        "raised again with another traceback",
        ("try:\n    {}['a']\nexcept KeyError as error:\n    raise error.with_traceback(None)"),
    ),
    raising(
        "with notes",
        ("error = ValueError('wrong')\nerror.add_note('first note')\nerror.add_note('second note')\nraise error"),
    ),
    raising("an exception group", "raise ExceptionGroup('several', [ValueError(1), KeyError('a')])"),
    raising(
        "an exception group within a group",
        "raise ExceptionGroup('outer', [ExceptionGroup('inner', [ValueError(1)]), OSError(2)])",
    ),
    raising(
        "an exception that can't be pickled",
        "raise Mine(lambda: 1)",
        before="class Mine(Exception):\n"
        "    def __init__(self, f):\n        self.f = f\n        super().__init__('has a lambda')\n"
        "    def __reduce__(self):\n        raise TypeError('no')\n\n",
    ),
    raising(
        "__str__ of a subclass of str",
        "raise Odd",
        before="class Text(str):\n    pass\n\n" + STR.format("return Text('mine')"),
    ),
    raising("a message of several lines", "raise ValueError('one\\ntwo\\n\\nthree')"),
    raising(
        "a class whose name is another's",
        "raise Mine('x')",
        before=("class Mine(Exception):\n    pass\nMine.__name__ = 'KeyError'\n\n"),
    ),
    raising("raise of what is no exception", "raise 'text'"),
    raising(
        "an exception in a thread",
        (
            "import threading\n"
            "t = threading.Thread(target=lambda: 1 / 0)\n"
            "threading.excepthook = lambda args: None\n"
            "t.start()\n"
            "t.join()"
        ),
    ),
    raising(
        "an exception of a future",
        (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "with ThreadPoolExecutor(1) as pool:\n"
            "    pool.submit(lambda: 1 / 0).result()"
        ),
    ),
    block(
        "in the second of several elements",
        """\
        def run(self, image):
            return {'value': 1 / (20 - int(image.numpy_image.max()))}
        """,
        {"image": PICTURES},
    ),
    *differing(
        reasons.LIBRARY,
        ("message", "line", "snippet"),
        raising("an exception of NumPy", "np.linalg.inv(np.zeros((2, 3)))"),
        raising("an exception of json", "json.loads('{')"),
    ),
    *differing(
        reasons.LIBRARY,
        ("message", "line", "snippet", "traceback"),
        raising("an exception of supervision", "sv.Detections(xyxy=np.zeros((2, 3)))"),
    ),
    *differing(
        reasons.SNIPPET,
        ("snippet", "traceback"),
        raising(
            "in init code's helper called at run time",
            "helper()",
            init_function_code="def helper():\n    return 1 / 0\n\ndef init():\n    return {}\n",
        ),
    ),
    *differing(
        reasons.CHAIN,
        ("traceback",),
        raising(
            "raise from", ("try:\n    {}['a']\nexcept KeyError as error:\n    raise ValueError('outer') from error")
        ),
        raising(
            "raised while handling another", ("try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('outer')")
        ),
        raising("in finally after another", "try:\n    {}['a']\nfinally:\n    1 / 0"),
        raising(
            "a chain of twenty",
            (
                "error = None\n"
                "for n in range(20):\n"
                "    new = ValueError(n)\n"
                "    new.__cause__ = error\n"
                "    error = new\n"
                "raise error"
            ),
        ),
        raising(
            "a chain that bites its tail",
            ("one, two = ValueError(1), ValueError(2)\none.__cause__, two.__cause__ = two, one\nraise one"),
        ),
    ),
    *differing(
        reasons.FRAMES,
        ("traceback",),
        raising("RecursionError", "def f(n):\n    return f(n + 1)\nf(0)"),
    ),
    *differing(
        reasons.MESSAGE,
        ("message", "traceback"),
        raising("a huge message", "raise ValueError('x' * 1_000_000)"),
    ),
    *differing(
        reasons.TEXT_FAILS,
        ("error class", "context", "message", "line", "snippet", "traceback", "stdout"),
        raising("__str__ that leaves with SystemExit", "raise Odd", before=STR.format("raise SystemExit")),
    ),
    *differing(
        reasons.TEXT_FAILS,
        ("error class", "context", "message", "line", "snippet", "traceback", "stdout", "shown"),
        raising("__str__ that raises", "raise Odd", before=STR.format("raise RuntimeError('no text')")),
        raising("__str__ that gives no text", "raise Odd", before=STR.format("return 7")),
    ),
    *differing(
        reasons.CONTROL,
        ("message", "traceback"),
        raising("control characters in a message", "raise ValueError('a\\x1b[31mred\\rb\\x00\\x07')"),
    ),
    *differing(
        reasons.SURROGATE,
        ("message", "traceback"),
        raising("a lone surrogate in a message", "raise ValueError('a\\ud800b')"),
    ),
    *differing(
        reasons.TRUE_CLASS,
        ("message", "traceback"),
        raising(
            "a class that lies about its class",
            "raise Mine('x')",
            before=("class Mine(Exception):\n    @property\n    def __class__(self):\n        return KeyError\n\n"),
        ),
    ),
)
