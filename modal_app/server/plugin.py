"""The plug-in of the inference server: `WORKFLOWS_PLUGINS=modal_app.server.plugin`.

The engine imports its plug-ins before it compiles a workflow, in every process that compiles one. Importing this one
replaces exactly two functions of the engine, those that send a custom block to Modal and that validate its code there;
the engine looks both up at each use. It brings no blocks of its own.
"""

import inspect
import logging
from collections.abc import Callable
from typing import Any

from roboflow_workflows.environment import WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE
from roboflow_workflows.errors import PluginLoadingError
from roboflow_workflows.execution_engine.v1.dynamic_blocks import modal_executor

from modal_app.server.executor import get_modal_executor
from modal_app.server.heap import keep_freed_memory
from modal_app.server.validation import validate_code_in_modal
from modal_app.settings import INFERENCE_VERSION

logger = logging.getLogger(__name__)

REPLACED: dict[Callable[..., Any], tuple[str, ...]] = {
    get_modal_executor: ("workspace_id",),
    validate_code_in_modal: ("python_code", "workspace_id"),
}
"""Our functions and the parameters of the engine's functions of the same names."""


def load_blocks() -> list[Any]:
    """No blocks: the engine requires the function of a plug-in."""
    return []


def install(engine: Any, mode: str) -> None:
    """Replaces the functions in `engine`, the module that the engine has them in; nothing unless `mode` is "modal".

    Raises:
        PluginLoadingError: the engine isn't built as this plug-in expects; nothing has been replaced then.
    """
    if mode != "modal":
        logger.warning(
            "modal_app.server.plugin does nothing: WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE is %r, not 'modal'", mode
        )
        return
    for function, parameters in REPLACED.items():
        _check(engine, function.__name__, parameters)
    keep_freed_memory()
    for function in REPLACED:
        setattr(engine, function.__name__, function)


def _check(engine: Any, name: str, parameters: tuple[str, ...]) -> None:
    found = getattr(engine, name, None)
    if callable(found) and tuple(inspect.signature(found).parameters) == parameters:
        return
    raise PluginLoadingError(
        public_message=f"modal_app.server.plugin can't replace {engine.__name__}.{name}({', '.join(parameters)}): this "
        f"engine {'has it with other parameters' if found else 'does not have it'}. The plug-in is made for inference "
        f"{INFERENCE_VERSION}; use the version of the project that belongs to this server.",
        context="modal_executor | plugin_loading",
    )


install(modal_executor, WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE)
