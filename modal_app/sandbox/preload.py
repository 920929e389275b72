"""Imports everything a block may need, before the memory snapshot, so that no call pays for it."""

from typing import Any

WARM_UP = """
def run(self, image, count):
    boxes = np.zeros((count, 4), dtype=np.float32)
    return {"image": image, "found": sv.Detections(xyxy=boxes), "mean": float(image.numpy_image.mean())}
"""


def preload() -> None:
    """Imports the package as a server does, the prelude of blocks and the serialisers; then runs a block once.

    The server's package comes first: it installs the configuration that the engine reads when it is imported. The run
    makes those imports happen now that happen at first use.

    Raises:
        RuntimeError: the block fails, so the image is broken.
    """
    import cbor2  # noqa: PLC0415 - Modal's client brings it
    import inference.core  # noqa: F401, PLC0415 - the order matters, see above

    from modal_app.sandbox.runner import execute, validate  # noqa: PLC0415 - imports the engine

    request = _request()
    for answer in (validate(request), execute(request)):
        if answer["failure"] is not None:
            raise RuntimeError(f"a block that does next to nothing fails in this image: {answer['failure']}")
        cbor2.dumps(answer)


def _request() -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415 - as above
    from roboflow_workflows.execution_engine.entities.base import (  # noqa: PLC0415 - as above
        ImageParentMetadata,
        WorkflowImageData,
    )
    from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode  # noqa: PLC0415 - as above

    from modal_app.contract.request import build_request  # noqa: PLC0415 - as above
    from modal_app.settings import Limits  # noqa: PLC0415 - as above

    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    image = WorkflowImageData(parent_metadata=ImageParentMetadata(parent_id="warm_up"), numpy_image=pixels)
    code = PythonCode(type="PythonCode", run_function_code=WARM_UP)
    return build_request(code, "warm_up", Limits(), {"image": image, "count": 2})
