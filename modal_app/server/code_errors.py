"""Turns a failure of a block's own code, reported by its container, into what local execution raises for it.

Lines and names come from the container, the source lines shown beside them from the server's copy of the code.
"""

from roboflow_workflows.errors import DynamicBlockCodeError, DynamicBlockError, WorkflowError
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode
from roboflow_workflows.execution_engine.v1.dynamic_blocks.error_utils import extract_code_snippet

from modal_app.contract.request import whole_code
from modal_app.contract.response import Failure, Frame, RaisedError, Response
from modal_app.contract.text import visible

_RELATIONS = {
    True: "The above exception was the direct cause of the following exception:",
    False: "During handling of the above exception, another exception occurred:",
}


def code_error(response: Response, failure: Failure, code: PythonCode, block_type: str) -> WorkflowError:
    """The exception for `failure`, the reason why `response` has no result."""
    error = failure.errors[-1]
    if failure.stage == "request":
        return DynamicBlockError(
            public_message=f"The deployed app can't take this server's request: {visible(error.message)}. "
            "Run `make deploy` from this server's version of the project.",
            context="modal_executor | contract_version",
        )
    if failure.missing_function is not None:
        return DynamicBlockError(
            public_message=f"Cannot find function: {failure.missing_function} in declared code for "
            f"dynamic block: `{block_type}`",
            context="workflow_compilation | dynamic_block_compilation | declared_symbols_fetching",
        )
    frame = error.frames[-1] if error.frames else None
    source = whole_code(code)
    snippet = extract_code_snippet(source, frame.line).lstrip("\n") if frame else None
    return DynamicBlockCodeError(
        public_message=_message(failure, error, frame),
        context="dynamic_block_code_compilation" if failure.stage == "load" else "dynamic_block_code_execution",
        block_type_name=block_type,
        error_line=frame.line if frame else None,
        code_snippet=snippet or None,
        traceback_str=_traceback(failure, source.splitlines()),
        stdout=response.output.stdout or None,
        stderr=response.output.stderr or None,
    )


def _message(failure: Failure, error: RaisedError, frame: Frame | None) -> str:
    said = visible(f"{error.type}: {error.message}")
    if failure.stage == "load":
        return f"{said} (line {frame.line})" if frame else said
    return f"Error in line {frame.line}, in {visible(frame.function)}: {said}" if frame else said


def _traceback(failure: Failure, lines: list[str]) -> str:
    parts: list[str] = []
    for error in failure.errors:
        parts.append("Traceback (most recent call last):")
        for frame in error.frames:
            parts.append(f'  File "Python Block", line {frame.line}, in {visible(frame.function)}')
            if frame.line <= len(lines) and (source := lines[frame.line - 1].strip()):
                parts.append(f"    {source}")
        parts.append(visible(f"{error.type}: {error.message}"))
        if error is not failure.errors[-1]:
            parts += ["", _RELATIONS[error.cause], ""]
    return "\n".join(parts)
