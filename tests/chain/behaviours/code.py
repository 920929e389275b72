"""How code may look, and what is said where it can't be loaded or called."""

from tests.chain.behaviours import reasons
from tests.chain.behaviours.row import block, differing

PLAIN = "def run(self):\n    return {'value': 1}\n"

ROWS = (
    block("code with tabs", "def run(self):\n\tif True:\n\t\treturn {'value': 'tab\there'}\n"),
    block("code with CRLF", "def run(self):\r\n    text = 'one'\r\n    return {'value': text}\r\n"),
    block("code with CRLF that raises", "def run(self):\r\n    text = 'one'\r\n    return {'value': text[9]}\r\n"),
    block(
        "code with a form feed and a vertical tab in comments",
        "# page\x0c one\n# tab\x0b one\ndef run(self):\n    return {'value': 1 / 0}\n",
    ),
    block(
        "code with a line separator of Unicode in a text",
        "def run(self):\n    text = 'a\u2028b'\n    return {'value': [text, 1 / 0]}\n",
    ),
    block(
        "names and texts in Unicode",
        """\
        def größe(ü):
            return '✓' + ü
        def run(self, zahl):
            return {'value': größe(zahl), 'größe': '日本'}
        """,
        {"zahl": "ünï \U0001f600"},
        outputs=("value", "größe"),
    ),
    block(
        "an exception with Unicode in its message and its function's name",
        """\
        def größe():
            raise ValueError('日本 😀 ✓')
        def run(self):
            return {'value': größe()}
        """,
    ),
    block("a lone surrogate in a result", "def run(self):\n    return {'value': 'a\\ud800b'}\n"),
    block(
        "an encoding declared",
        """\
        # -*- coding: latin-1 -*-
        def run(self):
            return {'value': 'ü'}
        """,
    ),
    block(
        "code of 200 kB",
        "".join(f"N{i} = {i}\n" for i in range(16_000)) + "def run(self):\n    return {'value': N15999}\n",
    ),
    block(
        "an exception at the end of code of 200 kB",
        "".join(f"N{i} = {i}\n" for i in range(16_000)) + "def run(self):\n    return {'value': N16000}\n",
    ),
    block("code without a last newline", "def run(self):\n    return {'value': 1}"),
    block(
        "a run function of another name",
        """\
        def work(self):
            return {'value': 1}
        """,
        run_function_name="work",
    ),
    block(
        "a run function that is a class",
        """\
        class run(dict):
            def __init__(self, block):
                self['value'] = 2
        """,
    ),
    block("a run function that is a lambda", "run = lambda self: {'value': 3}\n"),
    block(
        "a run function with a decorator",
        """\
        import functools
        def twice(f):
            @functools.wraps(f)
            def g(self):
                return {'value': f(self)['value'] * 2}
            return g
        @twice
        def run(self):
            return {'value': 3}
        """,
    ),
    block(
        "a default argument",
        """\
        def run(self, number, other=4):
            return {'value': number + other}
        """,
        {"number": 3},
    ),
    block(
        "keyword arguments",
        """\
        def run(self, **inputs):
            return {'value': sorted(inputs.items())}
        """,
        {"b": 1, "a": 2},
    ),
    block("keyword-only arguments", "def run(self, *, number):\n    return {'value': number}\n", {"number": 3}),
    block(
        "an input named self_ or kwargs",
        """\
        def run(self, kwargs, self_):
            return {'value': [kwargs, self_]}
        """,
        {"kwargs": 1, "self_": 2},
    ),
    block(
        "eval, exec and compile",
        """\
        def run(self):
            scope = {}
            exec('x = 2', scope)
            return {'value': eval('x + 1', scope)}
        """,
    ),
    block(
        "a class with state",
        """\
        class Counter:
            n = 0
            def up(self):
                self.n += 1
                return self
        def run(self):
            return {'value': Counter().up().up().n}
        """,
    ),
    block(
        "a dataclass",
        """\
        from dataclasses import dataclass, asdict
        @dataclass
        class Point:
            x: int
        def run(self):
            return {'value': asdict(Point(2))}
        """,
    ),
    block(
        "match, walrus and f-strings",
        """\
        def run(self):
            match (n := 3):
                case 3:
                    return {'value': f'{n=}'}
        """,
    ),
    *differing(
        reasons.TOP_LEVEL,
        ("shown",),
        block("the top level prints", "print('loaded')\n" + PLAIN),
    ),
    *differing(
        reasons.LOADING,
        ("message", "line", "snippet", "traceback"),
        block("the top level raises", "LIMIT = {}['limit']\n" + PLAIN),
        block("a function called at the top level raises", "def load():\n    return 1 / 0\nVALUE = load()\n" + PLAIN),
    ),
    *differing(
        reasons.LOADING,
        ("message", "snippet", "traceback"),
        block("a syntax error in the init function", PLAIN, init_function_code="def init():\n    return {\n"),
    ),
    *differing(
        reasons.LOADING,
        ("message", "traceback"),
        block("code with a byte order mark", "\ufeff" + PLAIN),
        block(
            "a future import",
            """\
        from __future__ import annotations
        def run(self):
            return {'value': 1}
        """,
        ),
        block("a syntax error in the first line", "def run(self:\n    return {'value': 1}\n"),
        block(
            "a syntax error in the middle",
            """\
        def run(self):
            value = (1,
            return {'value': value}
        """,
        ),
        block(
            "a syntax error in the last line",
            """\
        def run(self):
            return {'value': 1}
        }
        """,
        ),
        block(
            "wrong indentation",
            """\
        def run(self):
            a = 1
              b = 2
            return {'value': a}
        """,
        ),
        block("tabs and spaces mixed", "def run(self):\n    if True:\n\treturn {'value': 1}\n        return 2\n"),
        block("a text that is not closed", "def run(self):\n    return {'value': 'one}\n"),
        block("return outside a function", "return 1\n" + PLAIN),
        block("code that nests too deeply", "x = " + "(" * 300 + ")" * 300 + "\n" + PLAIN),
    ),
    *differing(
        reasons.LOADING,
        ("traceback",),
        block("code with a null byte", "def run(self):\n    return {'value': '\x00'}\n"),
    ),
    *differing(
        reasons.VALIDATION,
        ("message",),
        block("empty code", ""),
        block("code of comments only", "# nothing\n"),
        block("no run function", "def work(self):\n    return {'value': 1}\n"),
        block("the name of a missing init function", PLAIN, init_function_code="x = 1\n"),
    ),
    *differing(
        reasons.CALLING,
        ("message", "line", "snippet"),
        block("a run function that is no function", "run = 7\n"),
        block("a run function without self", "def run():\n    return {'value': 1}\n"),
        block("a run function that lacks an input", "def run(self):\n    return {'value': 1}\n", {"number": 3}),
        block(
            "a run function with one parameter too many",
            """\
        def run(self, number, other):
            return {'value': 1}
        """,
            {"number": 3},
        ),
        block("positional-only arguments", "def run(self, number, /):\n    return {'value': number}\n", {"number": 3}),
    ),
    *differing(
        reasons.LIBRARY,
        ("message", "line", "snippet", "traceback"),
        block(
            "an exception in exec'd code", "def run(self):\n    exec('a = 1\\nb = a / 0')\n    return {'value': 1}\n"
        ),
    ),
    *differing(
        reasons.NO_EXCEPTION,
        ("error class", "context", "message", "line", "snippet", "traceback"),
        block("the top level leaves with SystemExit", "raise SystemExit(3)\n" + PLAIN),
    ),
)
