"""Runs each block in a fresh container of its workspace's Executor, through a client of Modal's behind the gate.

Nothing that a container sends is interpreted on the way: see `modal_app.gate`. A call whose answer nobody waits
for any more is cancelled, and its container ended.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import modal
from modal import exception as modal_errors
from modal_proto import api_pb2

from modal_app import gate
from modal_app.gateway.problems import Problem
from modal_app.gateway.requests import Work
from modal_app.settings import APP_NAME, EXECUTOR_CLASS, Limits

STEP_SECONDS = 20
MAX_EXECUTORS = 1024
_Result = api_pb2.GenericResult
_OUT_OF_MEMORY = frozenset(
    {
        _Result.GENERIC_STATUS_MEMORY_MANAGER_EVICTION,
        _Result.GENERIC_STATUS_MEMORY_THRASHING_EVICTION,
        _Result.GENERIC_STATUS_KERNEL_OOM_KILL,
    }
)
_OK, _BAD_GATEWAY, _UNAVAILABLE = 200, 502, 503


class Executors:
    """The deployed Executor of each workspace, looked up when it is first called.

    Args:
        timeout_seconds: how long a block may run, for messages.
        connect: opens the client; the first call does.
    """

    def __init__(self, timeout_seconds: int, connect: Callable[[], modal.Client] = gate.open_container_client) -> None:
        self.timeout_seconds = timeout_seconds
        self._connect = connect
        self._client: modal.Client | None = None
        self._connecting = asyncio.Lock()
        self._executors: OrderedDict[str, Any] = OrderedDict()
        self._cancelling: set[asyncio.Task[None]] = set()

    async def run(self, work: Work, limits: Limits, seconds: float) -> bytes:
        """As `Runner.run`."""
        with gate.call_limits(step_seconds=STEP_SECONDS, seconds=seconds, max_bytes=limits.answer_bytes) as record:
            try:
                sealed: bytes = await self._call(work, limits, record)
            except Exception as error:
                raise _explained(error, record, self.timeout_seconds) from error
            finally:
                if record.call_id is not None and record.status is None:
                    self._abandon(record.call_id)
            return sealed

    async def _call(self, work: Work, limits: Limits, record: gate.CallRecord) -> bytes:
        """Calls it; an app that was deployed anew since it was looked up is looked up once more."""
        request = work.request(limits)
        try:
            return await (await self._executor(work.workspace_id)).execute_wire.remote.aio(request)  # type: ignore[no-any-return]
        except modal_errors.NotFoundError:
            if record.started:
                raise
        self._executors.pop(work.workspace_id, None)
        return await (await self._executor(work.workspace_id)).execute_wire.remote.aio(request)  # type: ignore[no-any-return]

    def _abandon(self, call_id: str) -> None:
        """Has a call that gave no output ended, without keeping the client waiting for that."""
        cancelling = asyncio.create_task(self._cancel(call_id))
        self._cancelling.add(cancelling)
        cancelling.add_done_callback(self._cancelling.discard)

    async def _cancel(self, call_id: str) -> None:
        """Ends it with its container, which the block may not decline; where that fails its own time limit does."""
        call = modal.FunctionCall.from_id(call_id, client=self._client)
        with (
            gate.call_limits(step_seconds=STEP_SECONDS, seconds=STEP_SECONDS, max_bytes=0),
            suppress(modal_errors.Error, OSError, gate.CallDeadlineError),
        ):
            await call.cancel.aio(terminate_containers=True)

    async def _executor(self, workspace_id: str) -> Any:
        async with self._connecting:
            if self._client is None:
                self._client = await asyncio.to_thread(self._connect)
        if workspace_id not in self._executors:
            deployed = modal.Cls.from_name(APP_NAME, EXECUTOR_CLASS, client=self._client)
            self._executors[workspace_id] = deployed(workspace_id=workspace_id)
            if len(self._executors) > MAX_EXECUTORS:
                self._executors.popitem(last=False)
        self._executors.move_to_end(workspace_id)
        return self._executors[workspace_id]


def _explained(error: Exception, record: gate.CallRecord, timeout_seconds: int) -> Problem:
    """What the client is told of `error`: of the block's doing with status 200, of ours with another."""
    reason = " ".join(str(error).split())[: gate.MAX_TEXT_CHARS].rstrip(".")
    fault = True
    match error:
        case Problem():
            return error
        case modal_errors.FunctionTimeoutError():
            said = ("TimeoutError", f"the block exceeded the limit of {timeout_seconds} s", _OK)
        case gate.OutputTooLargeError():
            said = ("ResponseTooLarge", "the block's answer is larger than this transport takes", _OK)
        case gate.CallDeadlineError(started=True):
            said = ("TimeoutError", "the block gave no answer in time", _OK)
        case modal_errors.RemoteError() if record.status in _OUT_OF_MEMORY:
            said, fault = ("MemoryError", "the block ran out of memory; work on less at a time", _OK), False
        case gate.RefusedOutputError():
            said = ("RefusedAnswer", f"the answer from the block's sandbox was refused: {reason}", _BAD_GATEWAY)
        case modal_errors.NotFoundError() if not record.started:
            said = ("NotDeployed", f"the app's executor isn't deployed: {reason}", _UNAVAILABLE)
        case modal_errors.ResourceExhaustedError():
            said = ("NoRoom", f"Modal has no room for the block: {reason}: try again", _UNAVAILABLE)
        case modal_errors.RemoteError() | modal_errors.InternalFailure() | modal_errors.NotFoundError():
            said = ("SandboxDied", f"the block's sandbox died: {reason}", _BAD_GATEWAY)
        case modal_errors.Error() | OSError() | gate.CallDeadlineError():
            said = ("Unreachable", f"the block's sandbox can't be reached: {reason}: try again", _UNAVAILABLE)
        case _:
            said = ("GatewayError", f"calling the sandbox failed: {type(error).__name__}: {reason}", _BAD_GATEWAY)
    return Problem(*said, server_error=fault)


def call_seconds(timeout_seconds: int, startup_timeout_seconds: int, grace_seconds: int = 30) -> float:
    """The longest that a block may take with the start of its container."""
    return float(timeout_seconds + startup_timeout_seconds + grace_seconds)
