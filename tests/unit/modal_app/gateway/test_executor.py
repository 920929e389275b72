"""What a client of either door is told of each thing that keeps a sandbox from answering, and that no call is left."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import cbor2
import httpx
import modal
import msgpack
import pytest
from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from modal_app import gate
from modal_app.contract.response import build_response
from modal_app.gateway.app import http_app
from modal_app.gateway.codes import Code
from modal_app.gateway.endpoint import Endpoint
from modal_app.gateway.executor import Executors
from modal_app.gateway.problems import Problem, busy
from modal_app.gateway.requests import Work
from modal_app.gateway.service import LIMITS, Service
from modal_app.settings import WebSettings
from tests.unit.modal_app.server.control_plane import FAILURE, PICKLE, ControlPlane, forged, output

Result = api_pb2.GenericResult
OK, BAD_GATEWAY, UNAVAILABLE = 200, 502, 503
SOURCE = "def run(self):\n    return {}"
WORK = Work("acme", Code(SOURCE, ()), "run", "{}", {})
PATIENT, HASTY = 30, 1
"""Seconds that a call may take: more than any does here, and few, for what is never answered."""


@pytest.fixture(autouse=True)
def cancelled(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> "Cancelled":
    """The plane deploys and cancels as well; gives the calls that it was asked to cancel."""
    wire = plane.metadata.method_handle_metadata["execute_wire"]
    wire.CopyFrom(plane.metadata.method_handle_metadata["execute"])
    wire.function_name, wire.use_method_name = "Executor.execute_wire", "execute_wire"
    cancelled = Cancelled()
    monkeypatch.setattr(plane, "on_FunctionCallCancel", cancelled, raising=False)
    return cancelled


class Cancelled:
    """Requests to cancel; the plane's thread adds to them."""

    def __init__(self) -> None:
        self.requests: list[api_pb2.FunctionCallCancelRequest] = []
        self.came = threading.Event()

    def __call__(self, request: api_pb2.FunctionCallCancelRequest) -> Empty:
        self.requests.append(request)
        self.came.set()
        return Empty()


@asynccontextmanager
async def executors(plane: ControlPlane, connect: Callable[[], modal.Client] | None = None) -> AsyncIterator[Executors]:
    """Executors with a client of their own, connected to `plane` behind the gate."""
    opened: list[modal.Client] = []

    def connect_to_plane() -> modal.Client:
        opened.append(gate.open_client(*plane.credentials))
        return opened[0]

    try:
        yield Executors(20, connect or connect_to_plane)
    finally:
        for client in opened:
            await client.close.aio()


@dataclass(frozen=True)
class Said:
    """What a client is told: by HTTP with `status`, over WebSocket with `server_error` where it isn't the block."""

    kind: str
    message: str
    status: int
    server_error: bool = True


async def said(runner: Executors) -> Said:
    """What both doors say of the same run, which must be one thing."""
    service = Service(runner, WebSettings(answer_seconds=PATIENT))
    over_websocket = msgpack.unpackb(await Endpoint(service, PATIENT).answer(WORK, None, "r1"))
    body = {"code_str": SOURCE, "run_function_name": "run", "inputs_json": "{}"}
    transport = httpx.ASGITransport(http_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
        over_http = await client.post("/?workspace_id=acme", json=body)
    kind, message = over_websocket["error_type"], over_websocket["error"]
    if over_http.status_code == OK:
        answer = json.loads(over_http.content)
        assert (answer["success"], answer["error_type"], answer["error"]) == (False, kind, message)
    else:
        assert over_http.text == f"{kind}: {message}"
    return Said(kind, message, over_http.status_code, over_websocket.get("server_error", False))


OUTPUTS = {
    "the time limit": (
        output(Result.GENERIC_STATUS_TIMEOUT, exception="hit its timeout of 20s"),
        Said("TimeoutError", "the block exceeded the limit of 20 s", OK),
    ),
    "too large an answer": (
        output(data=cbor2.dumps(b"x" * (LIMITS.answer_bytes + 1))),
        Said("ResponseTooLarge", "the block's answer is larger than this transport takes", OK),
    ),
    **{
        f"no memory: {name}": (
            output(Result.GenericStatus.Value(f"GENERIC_STATUS_{name}"), exception="it was killed"),
            Said("MemoryError", "the block ran out of memory; work on less at a time", OK, server_error=False),
        )
        for name in ("MEMORY_MANAGER_EVICTION", "MEMORY_THRASHING_EVICTION", "KERNEL_OOM_KILL")
    },
    "what is no data": (
        output(data_format=PICKLE, data=b"x"),
        Said(
            "RefusedAnswer",
            "the answer from the block's sandbox was refused: the container answered in the format "
            "DATA_FORMAT_PICKLE, which is not data",
            BAD_GATEWAY,
        ),
    ),
    "its death": (
        output(FAILURE, exception="the container\nexited with 3."),
        Said("SandboxDied", "the block's sandbox died: the container exited with 3", BAD_GATEWAY),
    ),
    "a failure of Modal's own": (
        output(Result.GENERIC_STATUS_INTERNAL_FAILURE, exception="the worker was lost"),
        Said("SandboxDied", "the block's sandbox died: the worker was lost", BAD_GATEWAY),
    ),
}


@pytest.mark.parametrize("what", OUTPUTS)
async def test_a_container_that_gives_no_answer(what: str, plane: ControlPlane, cancelled: Cancelled) -> None:
    item, expected = OUTPUTS[what]
    plane.container = forged(item)
    async with executors(plane) as runner:
        assert await said(runner) == expected
        assert not runner._cancelling
    assert cancelled.requests == []


REFUSALS = {
    Status.RESOURCE_EXHAUSTED: Said("NoRoom", "Modal has no room for the block: why: try again", UNAVAILABLE),
    Status.PERMISSION_DENIED: Said("Unreachable", "the block's sandbox can't be reached: why: try again", UNAVAILABLE),
    Status.NOT_FOUND: Said("NotDeployed", "the app's executor isn't deployed: why", UNAVAILABLE),
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_call_that_modal_does_not_take(
    status: Status, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any) -> None:
        raise GRPCError(status, "why.")

    monkeypatch.setattr(plane, "on_FunctionMap", refuse)
    async with executors(plane) as runner:
        assert await said(runner) == REFUSALS[status]


async def test_a_call_that_modal_took_and_no_longer_knows(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgotten(_: Any) -> None:
        raise GRPCError(Status.NOT_FOUND, "no such call.")

    monkeypatch.setattr(plane, "on_FunctionGetOutputs", forgotten)
    async with executors(plane) as runner:
        assert await said(runner) == Said("SandboxDied", "the block's sandbox died: no such call", BAD_GATEWAY)


async def test_an_app_that_is_not_deployed(plane: ControlPlane) -> None:
    plane.deployed = False
    async with executors(plane) as runner:
        told = await said(runner)
    assert (told.kind, told.status, told.server_error) == ("NotDeployed", UNAVAILABLE, True)
    assert told.message.startswith("the app's executor isn't deployed: ")
    assert "not found in environment main" in told.message


async def test_an_app_deployed_anew_is_found_again(plane: ControlPlane) -> None:
    plane.container = forged(output(data=cbor2.dumps(build_response(result={}))))
    async with executors(plane) as runner:
        first = await runner.run(WORK, LIMITS, PATIENT)
        plane.version += 1
        assert await runner.run(WORK, LIMITS, PATIENT) == first


async def test_a_call_that_modal_never_takes_is_none_of_the_blocks_doing(plane: ControlPlane) -> None:
    plane.silent = frozenset({"FunctionMap"})
    async with executors(plane) as runner:
        with pytest.raises(Problem) as caught:
            await runner.run(WORK, LIMITS, HASTY)
    problem = caught.value
    message = "the block's sandbox can't be reached: no answer to FunctionMap in time: try again"
    assert (problem.error_type, problem.message, problem.status) == ("Unreachable", message, UNAVAILABLE)
    assert "FunctionCallCancel" not in plane.calls


FAULTS = {
    "a refused connection": (
        ConnectionRefusedError(111, "Connection refused"),
        Said(
            "Unreachable",
            "the block's sandbox can't be reached: [Errno 111] Connection refused: try again",
            UNAVAILABLE,
        ),
    ),
    "Modal's own word for it": (
        modal.exception.ConnectionError("Could not connect to the Modal server."),
        Said(
            "Unreachable",
            "the block's sandbox can't be reached: Could not connect to the Modal server: try again",
            UNAVAILABLE,
        ),
    ),
    "a fault of ours": (
        ValueError("x" * (gate.MAX_TEXT_CHARS + 1)),
        Said(
            "GatewayError",
            f"calling the sandbox failed: ValueError: {'x' * gate.MAX_TEXT_CHARS}",
            BAD_GATEWAY,
        ),
    ),
    "a problem that has its words": (busy("come again"), Said("ServerBusy", "come again", UNAVAILABLE)),
}


@pytest.mark.parametrize("what", FAULTS)
async def test_a_connection_that_there_is_none_of(what: str, plane: ControlPlane) -> None:
    fault, expected = FAULTS[what]

    def fail() -> modal.Client:
        raise fault

    async with executors(plane, fail) as runner:
        assert await said(runner) == expected


# --- calls that nobody waits for ----------------------------------------------------------------------------------


async def test_a_call_that_gives_no_output_in_time_is_cancelled(plane: ControlPlane, cancelled: Cancelled) -> None:
    plane.silent = frozenset({"FunctionGetOutputs"})
    async with executors(plane) as runner:
        with pytest.raises(Problem) as caught:
            await runner.run(WORK, LIMITS, HASTY)
        assert await asyncio.to_thread(cancelled.came.wait, PATIENT)
    problem = caught.value
    assert (problem.error_type, problem.message) == ("TimeoutError", "the block gave no answer in time")
    assert (problem.status, problem.server_error) == (OK, True)
    assert cancelled.requests == [api_pb2.FunctionCallCancelRequest(function_call_id="fc-1", terminate_containers=True)]


async def test_a_call_whose_client_has_left_is_cancelled(plane: ControlPlane, cancelled: Cancelled) -> None:
    waiting = threading.Event()
    answer = plane.answer

    async def note(name: str, request: Any, metadata: Any) -> Any:
        if name == "FunctionGetOutputs":
            waiting.set()
        return await answer(name, request, metadata)

    plane.silent = frozenset({"FunctionGetOutputs"})
    plane.answer = note  # type: ignore[method-assign]
    async with executors(plane) as runner:
        running = asyncio.create_task(runner.run(WORK, LIMITS, PATIENT))
        assert await asyncio.to_thread(waiting.wait, PATIENT)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(cancelled.came.wait, PATIENT)
    (request,) = cancelled.requests
    assert request.function_call_id == "fc-1"


async def test_that_a_call_cannot_be_cancelled_is_no_ones_error(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Any) -> None:
        raise GRPCError(Status.NOT_FOUND, "there is no such call")

    monkeypatch.setattr(plane, "on_FunctionCallCancel", gone, raising=False)
    plane.silent = frozenset({"FunctionGetOutputs"})
    async with executors(plane) as runner:
        with pytest.raises(Problem, match="no answer in time"):
            await runner.run(WORK, LIMITS, HASTY)
        (cancelling,) = runner._cancelling
        await cancelling
