"""What a block has of itself and of what went before: context, init function, self, globals, imports."""

import numpy as np

from tests.chain.behaviours import reasons
from tests.chain.behaviours.row import block, differing

PICTURES = [np.full((4, 4, 3), level, dtype=np.uint8) for level in (10, 20, 30)]

ROWS = (
    block(
        "its context names step, selector and type",
        """
        def run(self):
            context = self.get_workflow_context()
            run_id = context.pop("workflow_execution_id")
            return {"value": [context, type(run_id).__name__]}
        """,
    ),
    block(
        "what the init function returns is on self",
        """\
        def run(self):
            return {'value': self._init_results}
        """,
        init_function_code="def init():\n    return {'base': 21, 'list': [1, (2, 3)]}\n",
    ),
    block(
        "without an init function there is an empty dict",
        """\
        def run(self):
            return {'value': self._init_results}
        """,
    ),
    block(
        "an init function that returns no dict",
        """\
        def run(self):
            return {'value': self._init_results}
        """,
        init_function_code="def init():\n    return 7\n",
    ),
    block(
        "an init function of another name",
        """\
        def run(self):
            return {'value': self._init_results}
        """,
        init_function_code="def prepare():\n    return {'a': 1}\n",
        init_function_name="prepare",
    ),
    block(
        "the init function uses what the run function's code defines",
        """\
        BASE = 5
        def run(self):
            return {'value': self._init_results}
        """,
        init_function_code="def init():\n    return {'base': BASE + math.floor(1.5)}\n",
    ),
    block(
        "the init function prints",
        """\
        def run(self):
            return {'value': 1}
        """,
        init_function_code="def init():\n    print('loading')\n    return {}\n",
    ),
    block(
        "globals is a dict, not the function",
        """\
        def run(self):
            return {'value': [type(globals).__name__, globals.get('nothing')]}
        """,
    ),
    block(
        "attributes of self",
        """
          def run(self):
              names = sorted(n for n in dir(self) if not n.startswith(("__", "_sync_")))
              return {"value": [names, type(self).__name__.split("[")[0], type(self).__mro__[1].__name__]}
          """,
    ),
    block(
        "the attributes of its instance",
        """\
        def run(self):
            return {'value': sorted(vars(self))}
        """,
    ),
    block(
        "the names of its module",
        """
          import sys
          def run(self):
              frame = sys._getframe()
              return {"value": sorted(frame.f_globals)}
          """,
    ),
    block("__name__ of its module", "def run(self):\n    return {'value': __name__.split('_')[:2]}\n"),
    block("__file__ is not defined", "def run(self):\n    return {'value': __file__}\n"),
    block(
        "a declared import",
        """\
        def run(self):
            return {'value': [base64.b64encode(b'x'), Fraction(1, 3).denominator]}
        """,
        imports=["import base64", "from fractions import Fraction"],
    ),
    block(
        "a declared import of several lines",
        """\
        def run(self):
            raise ValueError(a + b)
        """,
        imports=["from os.path import (\n    sep as a,\n    curdir as b,\n)"],
    ),
    block(
        "an import of a missing module in the run function",
        """\
        def run(self):
            import no_such_module
            return {'value': 1}
        """,
    ),
    block(
        "modules of the prelude",
        """
          def run(self):
              names = [m.__name__ for m in (sv, np, math, time, json, os, requests, cv2, shapely)]
              return {"value": [names, Batch.__name__, WorkflowImageData.__name__, str(BlockResult)]}
          """,
    ),
    block(
        "the annotations of the prelude",
        """\
        def run(self, number: Optional[int], text: Any = None) -> Dict[str, List[int]]:
            return {'value': [number]}
        """,
        {"number": 3},
    ),
    block(
        "the engine's own package can be imported",
        """\
        import inference, roboflow_workflows
        def run(self):
            return {'value': inference.__name__}
        """,
    ),
    *differing(
        reasons.STATE,
        ("result",),
        block(
            "an attribute set on self lasts for the elements of a run",
            """\
        def run(self, image):
            self.seen = getattr(self, 'seen', 0) + 1
            return {'value': self.seen}
        """,
            {"image": PICTURES},
        ),
        block(
            "what is put into the init function's results lasts for the elements of a run",
            """\
        def run(self, image):
            self._init_results['n'] += 1
            return {'value': self._init_results['n']}
        """,
            {"image": PICTURES},
            init_function_code="def init():\n    return {'n': 0}\n",
        ),
        block(
            "a module's variable lasts for the elements of a run",
            """\
        COUNT = [0]
        def run(self, image):
            COUNT[0] += 1
            return {'value': COUNT[0]}
        """,
            {"image": PICTURES},
        ),
        block(
            "globals is a dict that lasts for the elements of a run",
            """\
        def run(self, image):
            globals['n'] = globals.get('n', 0) + 1
            return {'value': globals['n']}
        """,
            {"image": PICTURES},
        ),
    ),
    *differing(
        reasons.INIT,
        ("error class", "context", "message", "line", "snippet", "traceback"),
        block(
            "an init function that raises",
            """\
        def run(self):
            return {'value': 1}
        """,
            init_function_code="def init():\n    raise ValueError('no model')\n",
        ),
        block(
            "an init function that raises TypeError",
            """\
        def run(self):
            return {'value': 1}
        """,
            init_function_code="def init():\n    raise TypeError('no model')\n",
        ),
    ),
    *differing(
        reasons.INIT,
        ("error class", "context", "message", "traceback"),
        block(
            "an init function that takes a parameter",
            """\
        def run(self):
            return {'value': 1}
        """,
            init_function_code="def init(model):\n    return {}\n",
        ),
    ),
    *differing(
        reasons.LOADING,
        ("message", "line", "snippet", "traceback"),
        block(
            "an import of a missing module at the top",
            """\
        import no_such_module
        def run(self):
            return {'value': 1}
        """,
        ),
        block(
            "an import of a missing name at the top",
            "\n\nfrom math import no_such_name\ndef run(self):\n    return {'value': 1}\n",
        ),
    ),
    *differing(
        reasons.IMPORTS,
        ("message", "line", "snippet", "traceback"),
        block(
            "a declared import that doesn't compile",
            """\
        def run(self):
            return {'value': 1}
        """,
            imports=["import import"],
        ),
    ),
    *differing(
        reasons.IMPORTS,
        ("traceback",),
        block(
            "a declared import that is missing",
            """\
        def run(self):
            return {'value': 1}
        """,
            imports=["import no_such_module"],
        ),
    ),
)
