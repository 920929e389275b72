"""What a server asks of a container: one block's code, its inputs, and where in a workflow it stands.

The request is a plain dict and its inputs are plain Python objects: Modal's own pickling carries both.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from roboflow_workflows.execution_engine.entities.base import Batch, WorkflowImageData
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.contract.errors import ContractError, ContractVersionError
from modal_app.installed import INFERENCE_VERSION
from modal_app.settings import CONTRACT_VERSION, Limits

Request = dict[str, Any]


def build_request(
    code: PythonCode,
    block_type: str,
    limits: Limits,
    inputs: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    *,
    debug: bool = False,
) -> Request:
    """The argument of `Executor.execute` and `Executor.validate`.

    Args:
        code: the block's code, as the workflow defines it.
        block_type: the name of the block, for messages and `get_workflow_context()`.
        limits: what the caller accepts back.
        inputs: the keyword arguments of the run function; images are loaded here, never in the container.
        context: what `get_workflow_context()` gives: step_name, step_selector, block_type, workflow_execution_id.
        debug: whether `debug_traces` records, rather than ignores, what is appended.
    """
    return {
        "contract": CONTRACT_VERSION,
        "inference": INFERENCE_VERSION,
        "block_type": block_type,
        "code": code.model_dump(),
        "limits": asdict(limits),
        "inputs": {name: load_images(value) for name, value in (inputs or {}).items()},
        "context": dict(context or {}),
        "debug": debug,
    }


def whole_code(code: PythonCode) -> str:
    """The block's own code as one text, as the engine joins it; lines of failures are counted in this."""
    parts = [code.run_function_code]
    if code.init_function_code:
        parts.append(code.init_function_code)
    return "\n\n".join(parts)


def check_request(request: Request) -> Limits:
    """The caller's limits, if the request is one that this side understands.

    Raises:
        ContractVersionError: it comes from a server with another contract version.
        ContractError: it isn't a request.
    """
    if type(request) is not dict or "contract" not in request:
        raise ContractError("the request is not one of a custom block: it has no contract version")
    if request["contract"] != CONTRACT_VERSION:
        raise ContractVersionError(
            f"the server speaks contract version {request['contract']}, this deployment {CONTRACT_VERSION}"
        )
    return Limits(**request["limits"])


def load_images(value: Any) -> Any:
    """`value` with the pixels of every image in it loaded, so that a container never opens a path or URL for them.

    Containers on the way (list, tuple, dict, Batch) are copied, as is an image whose pixels weren't loaded; tensors of
    an image stay behind (they may live on a GPU) and are derived from the pixels where they are asked for.
    """
    if isinstance(value, WorkflowImageData):
        sources = {"base64_image": value._base64_image, "image_reference": value._image_reference}
        return WorkflowImageData.copy_and_replace(value, numpy_image=value.numpy_image, **sources)
    if type(value) is list:
        return [load_images(item) for item in value]
    if type(value) is tuple:
        return tuple(load_images(item) for item in value)
    if type(value) is dict:
        return {key: load_images(item) for key, item in value.items()}
    if type(value) is Batch:
        return Batch(content=load_images(list(value)), indices=value.indices)
    return value
