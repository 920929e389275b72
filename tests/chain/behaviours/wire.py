"""What the released server's own wire makes of a value, into a block and out of it, beside local execution.

A value is an expression: evaluated by the test it is an input, in a block's code it is what the block gives. `describe`
says what arrived; its text is part of the block's code, so that both sides describe alike.
"""

import inspect
import textwrap
from dataclasses import dataclass
from typing import Any

from tests.chain.server import Run
from tests.chain.workflows import PARAMETER, single

REFUSED = "refused"
TRANSPORTS = ("HTTP", "WebSocket")

SETUP = """
import collections, datetime, decimal, enum, uuid
import numpy as np
import supervision as sv
from roboflow_workflows.execution_engine.entities.base import (
    Batch, ImageParentMetadata, OriginCoordinatesSystem, VideoMetadata, WorkflowImageData,
)

def image(pixels, **more):
    return WorkflowImageData(ImageParentMetadata(parent_id="camera"), numpy_image=pixels, **more)

def pixels(*shape, dtype=np.uint8):
    return np.random.default_rng(1).integers(0, 200, shape).astype(dtype)

def ring():
    mask = np.zeros((1, 40, 40), dtype=bool)
    mask[0, 5:30, 5:30], mask[0, 12:20, 12:20] = True, False
    return mask

def parts():
    mask = np.zeros((1, 40, 40), dtype=bool)
    mask[0, 2:10, 2:10] = mask[0, 20:36, 20:36] = True
    return mask

DATA = {
    "class_name": np.array(["cat"]), "detection_id": np.array(["d1"]), "image_dimensions": np.array([[40, 40]]),
    "parent_id": np.array(["camera"]), "root_parent_id": np.array(["camera"]),
}

def found(mask=None, data=None, metadata=None, **more):
    named = DATA if data is None else data
    given = {"confidence": np.array([0.5], dtype=np.float32), "class_id": np.array([3]), **more}
    box = np.array([[2, 2, 36, 36]], dtype=np.float32)
    return sv.Detections(xyxy=box, mask=mask, data=named, metadata=metadata or {}, **given)

MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
"""


def describe(value: Any) -> str:
    """What `value` is, in a line."""
    if type(value).__name__ == "WorkflowImageData":
        array = value.numpy_image
        begins = array.ravel()[:3].tolist()
        return f"image {array.dtype} {list(array.shape)} of {value.parent_metadata.parent_id}, begins {begins}"
    if type(value).__name__ == "Detections":
        mask = "no mask" if value.mask is None else f"a mask of {int(value.mask.sum())} pixels"
        usual = {"detection_id", "image_dimensions", "parent_id", "root_parent_id"}
        named, more = sorted(set(value.data) - usual), sorted(value.metadata)
        return f"{len(value)} detections, {mask}, data {named}, metadata {more}"
    if type(value).__name__ == "ndarray":
        return f"array {value.dtype} {list(value.shape)} {value.ravel().tolist()}"
    if type(value).__name__ == "VideoMetadata":
        return f"VideoMetadata {value.video_identifier}, frame {value.frame_number} at {value.frame_timestamp}"
    if type(value).__name__ == "Batch":
        return f"Batch {list(value)}"
    return f"{type(value).__name__} {value!r}"


Becomes = str | tuple[str, str]
"""What a value arrives as, over either transport or over each; empty: as in local execution."""


@dataclass(frozen=True)
class Value:
    """A value on its way into a block and out of it."""

    name: str
    expression: str
    local: str
    """What it is in local execution, both ways."""
    into: Becomes = ""
    out: Becomes = ""


def each(becomes: Becomes) -> tuple[str, str]:
    """By transport."""
    return becomes if isinstance(becomes, tuple) else (becomes, becomes)


def value(expression: str) -> Any:
    """What an expression is."""
    scope: dict[str, Any] = {}
    exec(SETUP, scope)  # noqa: S102 - of this file
    return eval(expression, scope)  # noqa: S307 - as above


def workflow_in() -> dict[str, Any]:
    """A block that describes its input."""
    code = "def run(self, value):\n    return {'value': describe(value)}\n"
    return single("from typing import Any\n" + _describing() + code, {"value": PARAMETER})


def workflow_out(expression: str) -> dict[str, Any]:
    """A block that gives what the expression is."""
    return single(f"{SETUP}\ndef run(self):\n    return {{'value': {expression}}}\n", {})


def arrived_in(run: Run) -> str:
    """What the block found."""
    return REFUSED if run.failure else str(run.result["value"])


def arrived_out(run: Run) -> str:
    """What the block's output is for the next step."""
    return REFUSED if run.failure else describe(run.result["value"])


def _describing() -> str:
    return textwrap.dedent(inspect.getsource(describe))
