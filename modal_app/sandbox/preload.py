"""Imports everything a block may need, before the memory snapshot, so that no call pays for it."""

from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode


def preload() -> None:
    """Imports the package as a server does, the prelude of blocks and the serialisers; then runs a block once.

    The server's package comes first: it installs the configuration that the engine reads when it is imported. The
    run makes the imports that happen at first use happen now.
    """
    import inference.core  # noqa: F401, PLC0415 - the order matters, see above

    from modal_app.contract.request import build_request  # noqa: PLC0415
    from modal_app.sandbox.runner import execute, validate  # noqa: PLC0415
    from modal_app.settings import Limits  # noqa: PLC0415

    code = PythonCode(type="PythonCode", run_function_code=_WARM_UP)
    request = build_request(code, "warm_up", Limits(), inputs={"count": 2})
    for answer in (validate(request), execute(request)):
        if answer["failure"] is not None:
            raise RuntimeError(f"a block that only counts fails in this image: {answer['failure']}")


_WARM_UP = """
def run(self, count):
    boxes = np.zeros((count, 4), dtype=np.float32)
    image = WorkflowImageData(parent_metadata=None, numpy_image=np.zeros((2, 2, 3), dtype=np.uint8))
    return {"boxes": boxes, "count": len(sv.Detections(xyxy=boxes)), "mean": float(image.numpy_image.mean())}
"""
