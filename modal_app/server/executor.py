"""What the engine calls in place of its own Modal executor: one block's run, in a sandbox, as if it had run here."""

from typing import Any

from roboflow_workflows.execution_engine.v1.dynamic_blocks.block_duration import (
    BLOCK_DURATION_SOURCE_REMOTE_RUNTIME,
    record_block_duration,
)
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode
from roboflow_workflows.execution_engine.v1.dynamic_blocks.workflow_debug import get_active_debug_trace

from modal_app.contract.request import build_request
from modal_app.server import configuration, output
from modal_app.server.caller import call
from modal_app.server.code_errors import code_error
from modal_app.server.policy import resolve_workspace


class SandboxExecutor:
    """Runs blocks of one workspace; the engine keeps one per workspace and shares it between threads."""

    def __init__(self, workspace_id: str | None = None) -> None:
        self.workspace_id = workspace_id

    def execute_remote(
        self,
        block_type_name: str,
        python_code: PythonCode,
        inputs: dict[str, Any],
        workspace_id: str | None = None,
        workflow_context: dict[str, Any] | None = None,
    ) -> Any:
        """What the block's run function returns, from a container that has never run anything.

        Raises:
            DynamicBlockCodeError: the block's code failed, or went beyond its sandbox's limits.
            DynamicBlockError: it couldn't be run; the message says what to do.
        """
        workspace = resolve_workspace(workspace_id or self.workspace_id)
        context = workflow_context or {}
        debug = get_active_debug_trace() is not None
        request = build_request(python_code, block_type_name, configuration.LIMITS, inputs, context, debug=debug)
        response = call("execute", workspace, request, block_type_name)
        record_block_duration(
            duration=min(response.seconds, float(configuration.APP.timeout_seconds)),
            source=BLOCK_DURATION_SOURCE_REMOTE_RUNTIME,
        )
        output.check_version(response)
        output.show(response, context.get("step_name") or block_type_name)
        if response.failure is not None:
            raise code_error(response, response.failure, python_code, block_type_name)
        return response.result

    def close(self) -> None:
        """Does nothing: the connection belongs to the process, and other workspaces use it."""


def get_modal_executor(workspace_id: str | None = None) -> SandboxExecutor:
    """Replaces the engine's function of this name."""
    return SandboxExecutor(workspace_id)
