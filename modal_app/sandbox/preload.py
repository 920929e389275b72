"""Imports everything a block may need, before the memory snapshot, so that no call pays for it."""

from typing import Any

WARM_UP = """
def run(self, image, count):
    boxes = np.zeros((count, 4), dtype=np.float32)
    names = {name: np.array(["warm"] * count) for name in ("class_name", "detection_id")}
    ids = np.arange(count)
    found = sv.Detections(xyxy=boxes, confidence=ids / 2, class_id=ids, data=names)
    return {"image": image, "found": found, "mean": float(image.numpy_image.mean())}
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
    from modal_app.sandbox.wire.runner import execute_wire  # noqa: PLC0415 - as above

    request = _request()
    over_http, over_websocket = (_wire_request(request, packed=packed) for packed in (False, True))
    for answer in (validate(request), execute(request), execute_wire(over_http), execute_wire(over_websocket)):
        if answer["failure"] is not None:
            raise RuntimeError(f"a block that does next to nothing fails in this image: {answer['failure']}")
        cbor2.dumps(answer)


def preload_session() -> None:
    """The same, and what serves a connection.

    Raises:
        RuntimeError: as of `preload`.
    """
    preload()
    import modal_app.sandbox.session  # noqa: F401, PLC0415 - imports the engine


def _wire_request(request: dict[str, Any], *, packed: bool) -> dict[str, Any]:
    """The same block with the same inputs, as the released client encodes them."""
    import msgpack  # noqa: PLC0415 - inference brings it
    from roboflow_workflows.execution_engine.v1.dynamic_blocks import modal_executor  # noqa: PLC0415 - as above

    inputs = request["inputs"]
    if packed:
        encoded = msgpack.packb(modal_executor.serialize_inputs_for_msgpack(inputs))
    else:
        encoded = modal_executor.serialize_for_modal_remote_execution(inputs)
    fields = {"code_str": WARM_UP, "imports": [], "run_function_name": "run", "inputs": encoded}
    return {**request, **fields}


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
