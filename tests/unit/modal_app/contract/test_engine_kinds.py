"""The kinds of the released engine: a new one, or one of another type, is noticed before a block returns it."""

import json
import re
import subprocess
import sys

IN_SANDBOX = {
    "Any",
    "ActionRecognitionPrediction",
    "Optional",
    "Union",
    "VideoMetadata",
    "WorkflowImageData",
    "bool",
    "bytes",
    "datetime",
    "dict",
    "float",
    "int",
    "np.ndarray",
    "str",
    "sv.Detections",
    "torch.Tensor",
    "List",
    "Dict",
    "Tuple",
}
"""Types that a kind of the engine's may hold, each of which is among the values of test_kinds.py."""


REGISTERED = """
import json
import inference.core
from roboflow_workflows.execution_engine.introspection.blocks_loader import load_all_defined_kinds
print(json.dumps({kind.name: kind.internal_data_type for kind in load_all_defined_kinds()}))
"""


def test_every_kind_that_the_engine_registers_holds_types_that_come_back() -> None:
    """A release with a kind of another type turns this red: it needs a kind of ours, and a row in test_kinds.py."""
    registered = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REGISTERED], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    named = {name: set(re.findall(r"[A-Za-z_.]+", types)) for name, types in json.loads(registered).items()}
    assert {"image", "tensor", "*"} < set(named)
    assert {name: types - IN_SANDBOX for name, types in named.items() if types - IN_SANDBOX} == {}
