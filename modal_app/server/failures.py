"""Says why a call gave no result, in the engine's own exceptions, each with what to do about it.

`DynamicBlockCodeError` where the block's author has to change it, `DynamicBlockError` where an operator has to act.
Imports modal: only for a process in which `modal_app.server.connection` has found it.
"""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modal import exception as modal_errors
from modal_proto import api_pb2
from roboflow_workflows.errors import DynamicBlockCodeError, DynamicBlockError, WorkflowError

from modal_app import gate
from modal_app.contract.errors import ContractError, ContractVersionError
from modal_app.server import configuration
from modal_app.settings import APP_NAME

DEPLOY = "run `make deploy` (or `modal deploy -m modal_app.app`) from this server's version of the project"

_Result = api_pb2.GenericResult
_OUT_OF_MEMORY = frozenset(
    {
        _Result.GENERIC_STATUS_MEMORY_MANAGER_EVICTION,
        _Result.GENERIC_STATUS_MEMORY_THRASHING_EVICTION,
        _Result.GENERIC_STATUS_KERNEL_OOM_KILL,
    }
)


def call_error(error: Exception, record: gate.CallRecord, block_type: str, inputs: Mapping[str, Any]) -> WorkflowError:
    """What `error`, raised while a call was made, means; `record` knows how far the call came."""
    reason = "".join(filter(str.isprintable, " ".join(str(error).split())[: gate.MAX_TEXT_CHARS])).rstrip(".")
    case = _Case(reason, record, block_type)
    for types, explain in _EXPLANATIONS:
        if isinstance(error, types):
            return explain(case)
    if not record.started and (culprit := _unpicklable(inputs)):
        return _error("input", f"The input {culprit} of `{block_type}` can't be sent to its sandbox: {reason}.")
    return _error("call", f"Calling the sandbox of `{block_type}` failed: {type(error).__name__}: {reason}.")


@dataclass(frozen=True)
class _Case:
    """What an explanation can draw on: Modal's words, the call's record, the block's name."""

    reason: str
    record: gate.CallRecord
    block: str

    def timeout(self) -> WorkflowError:
        limit = configuration.APP.timeout_seconds
        return _code_error(self.block, "TimeoutError", f"it exceeded the limit of {limit} s")

    def too_large(self) -> WorkflowError:
        limit = configuration.LIMITS.result_bytes
        return _code_error(self.block, "ResultTooLarge", f"its result exceeds the limit of {limit:,} bytes")

    def other_version(self) -> WorkflowError:
        return _error("contract_version", f"{self.reason}: {DEPLOY}.")

    def refused(self) -> WorkflowError:
        return _error("output_refused", f"The answer from the sandbox of `{self.block}` was refused: {self.reason}.")

    def no_answer(self) -> WorkflowError:
        if not self.record.started:
            return self.unreachable()
        return _error("call_deadline", f"Modal took the call of `{self.block}`, but gave {self.reason}: try again.")

    def not_found(self) -> WorkflowError:
        if self.record.started:  # the call, not the app: who ran it was started anew
            return self.lost()
        problem = f"The app {APP_NAME!r} isn't deployed: {self.reason}."
        return _error("not_deployed", f"{problem} Check MODAL_ENVIRONMENT, or {DEPLOY}.")

    def credentials(self) -> WorkflowError:
        problem = f"Modal refuses this server's credentials: {self.reason}."
        advice = "Check MODAL_TOKEN_ID, MODAL_TOKEN_SECRET and MODAL_ENVIRONMENT."
        return _error("credentials_check", f"{problem} {advice}")

    def no_room(self) -> WorkflowError:
        return _error("quota", f"Modal has no room for `{self.block}`: {self.reason}. Try again, or raise the quota.")

    def lost(self) -> WorkflowError:
        problem = f"The container of `{self.block}` was lost: {self.reason}."
        return _error("container_lost", f"{problem} Try again; if it is lost again, check what the block does.")

    def container(self) -> WorkflowError:
        if self.record.status in _OUT_OF_MEMORY:
            return _code_error(self.block, "MemoryError", "it ran out of memory; work on less at a time")
        if self.record.status == _Result.GENERIC_STATUS_TERMINATED:
            return _error("cancelled", f"The call of `{self.block}` was cancelled: run the workflow again.")
        if self.record.status == _Result.GENERIC_STATUS_INIT_FAILURE:
            problem = f"The sandbox of `{self.block}` can't start: {self.reason}."
            return _error("container_start", f"{problem} See the app's logs, or {DEPLOY}.")
        status = f" with exit status {self.record.exit_code}" if self.record.exit_code else ""
        problem = f"The sandbox of `{self.block}` died{status}: {self.reason}."
        return _error("container_died", f"{problem} Check what the block does, and the app's logs.")

    def unreachable(self) -> WorkflowError:
        advice = "Check MODAL_SERVER_URL and the network (local Modal: `make status`)."
        return _error("unreachable", f"Modal can't be reached: {self.reason}. {advice}")


_EXPLANATIONS: tuple[tuple[tuple[type[Exception], ...], Callable[[_Case], WorkflowError]], ...] = (
    ((modal_errors.FunctionTimeoutError,), _Case.timeout),
    ((gate.OutputTooLargeError,), _Case.too_large),
    ((ContractVersionError,), _Case.other_version),
    ((ContractError, gate.RefusedOutputError), _Case.refused),
    ((gate.CallDeadlineError,), _Case.no_answer),
    ((modal_errors.NotFoundError,), _Case.not_found),
    ((modal_errors.AuthError, modal_errors.PermissionDeniedError), _Case.credentials),
    ((modal_errors.ResourceExhaustedError,), _Case.no_room),
    ((modal_errors.InternalFailure,), _Case.lost),
    ((modal_errors.RemoteError,), _Case.container),
    ((modal_errors.ConnectionError, modal_errors.ServiceError), _Case.unreachable),
    ((modal_errors.InternalError, modal_errors.TimeoutError, OSError), _Case.unreachable),
)


def _error(context: str, message: str) -> DynamicBlockError:
    return DynamicBlockError(public_message=message, context=f"modal_executor | {context}")


def _code_error(block_type: str, kind: str, problem: str) -> DynamicBlockCodeError:
    return DynamicBlockCodeError(
        public_message=f"{kind}: the custom Python block `{block_type}` was stopped: {problem}.",
        block_type_name=block_type,
    )


def _unpicklable(inputs: Mapping[str, Any]) -> str | None:
    """The name and type of the first input that Modal's pickling fails on."""
    from modal._serialization import serialize  # noqa: PLC0415 - needed in this case only

    for name, value in inputs.items():
        try:
            serialize(value)
        except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError, modal_errors.Error):
            return f"{name!r}, of type {type(value).__name__},"
    return None
