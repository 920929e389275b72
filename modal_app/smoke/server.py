"""This process as an inference server: importing this imports the engine and loads the plug-in, as the engine does.

The functions go through the engine's own module, where the plug-in has put ours.
"""

import importlib.metadata
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import inference.core  # noqa: F401 - first: it installs the configuration that the engine reads
from roboflow_workflows.errors import WorkflowError
from roboflow_workflows.execution_engine.v1.dynamic_blocks import modal_executor
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.contract.request import build_request
from modal_app.contract.response import Response
from modal_app.server import configuration
from modal_app.server.caller import call
from modal_app.server.code_errors import code_error
from modal_app.smoke.environment import SERVER

import_module(SERVER["WORKFLOWS_PLUGINS"])

BLOCK = "SmokeTest"
WORKSPACE = "smoke"
DISTRIBUTIONS = ("inference-cpu", "inference-gpu", "inference")


def inference_version() -> str:
    """The version of inference in this process's environment."""
    for name in DISTRIBUTIONS:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "none"


def run_block(source: str, workspace: str | None = WORKSPACE, imports: Sequence[str] = (), **inputs: Any) -> Any:
    """What the run function in `source` returns for `inputs`, from the engine's executor for `workspace`."""
    executor = modal_executor.get_modal_executor(workspace)
    return executor.execute_remote(BLOCK, _code(source, imports), inputs, workspace)


def validate_block(source: str, workspace: str | None = WORKSPACE) -> None:
    """Validates code as the engine does when it compiles a workflow."""
    modal_executor.validate_code_in_modal(_code(source), workspace)


def answer(source: str, imports: Sequence[str] = ()) -> Response:
    """A container's whole answer, with what it says about itself."""
    code = _code(source, imports)
    request = build_request(code, BLOCK, configuration.LIMITS)
    response = call("execute", WORKSPACE, request, BLOCK)
    if response.failure is not None:
        raise code_error(response, response.failure, code, BLOCK)
    return response


def error_of(action: Callable[[], object]) -> WorkflowError | None:
    """The engine's exception that `action` ends with, if it does."""
    try:
        action()
    except WorkflowError as error:
        return error
    return None


def _code(source: str, imports: Sequence[str] = ()) -> PythonCode:
    return PythonCode(type="PythonCode", run_function_code=source, imports=list(imports))
