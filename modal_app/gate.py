"""Stands between Modal's client and the network, for one client of ours: what a container says is checked here first.

Modal's client trusts an output's declared format: it unpickles a result, an exception, a traceback or a generator chunk
whose sender says "pickle", whatever the function was deployed with. The sender is a process that untrusted code shares,
so that would run the sandbox's code in this server. It also reads a result of any size into memory.

Every byte that this client receives passes `_Client._call_unary` or `_call_stream` (modal/client.py), for each of its
stubs and across forks; its connections come from `_get_channel`. The gate replaces these on our client object alone, so
other users of modal in the process are untouched. It lets through the calls that running a function takes and refuses
the others by name, streams included; and of an output it leaves nothing to interpret: a failure keeps its text, cut; a
result must be CBOR within the size limit, and is passed on as one sealed byte string, so that Modal's decoder sees
bytes and ours does the decoding.

It also gives calls a deadline, which Modal's client doesn't have (it tries to connect for a minute, and waits for an
output without end): `call_limits` says how long one may take.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import cbor2
import modal
from modal._utils.async_utils import synchronizer
from modal._utils.blob_utils import blob_iter
from modal.client import _Client
from modal.config import config
from modal_proto import api_pb2

CALLS = frozenset(
    {
        "ClientHello",
        "TokenInfoGet",
        "EnvironmentGetOrCreate",
        "AppGetByDeploymentName",
        "ClassGet",
        "FunctionGet",
        "FunctionBindParams",
        "FunctionMap",
        "FunctionPutInputs",
        "FunctionRetryInputs",
        "FunctionGetOutputs",
        "FunctionCallCancel",
        "AuthTokenGet",
        "AttemptStart",
        "AttemptAwait",
        "AttemptRetry",
        "BlobCreate",
        "BlobGet",
    }
)
"""What looking a function up and calling it takes, on Modal's control plane and on its input plane."""

WAITING_CALLS = frozenset({"FunctionGetOutputs", "AttemptAwait"})
MAX_TEXT_CHARS = 4096
"""Characters kept of what a failure says; its tail, where the reason stands."""

_SUCCESS = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS


class RefusedOutputError(Exception):
    """A container, or the control plane for it, sent something that isn't data."""


class OutputTooLargeError(Exception):
    """A container sent more than the limit."""


class CallDeadlineError(Exception):
    """The control plane didn't answer in time. `started` tells whether it had taken the call."""

    def __init__(self, message: str, *, started: bool) -> None:
        super().__init__(message)
        self.started = started


@dataclass
class CallRecord:
    """One call being made: how long each step may take (seconds) and the whole (till, of `time.monotonic`), and what
    is known of how it went."""

    step_seconds: float
    deadline: float
    max_bytes: int
    started: bool = False
    call_id: str | None = None
    status: int | None = None
    exit_code: int = 0

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())


_current: ContextVar[CallRecord] = ContextVar("custom_blocks_call")


@contextmanager
def call_limits(*, step_seconds: float, seconds: float, max_bytes: int) -> Iterator[CallRecord]:
    """Bounds a call made through a gated client in this context; gives the record of how it goes.

    Each step that hands the call over may take `step_seconds`, the whole `seconds`.

    Modal's client runs in a thread of its own, in a copy of the caller's context: the record is found there too.
    """
    record = CallRecord(step_seconds, time.monotonic() + seconds, max_bytes)
    token = _current.set(record)
    try:
        yield record
    finally:
        _current.reset(token)


def open_client(token_id: str, token_secret: str) -> modal.Client:
    """A connected client behind the gate; what `modal.Client.from_credentials` gives, but for that.

    Raises:
        CallDeadlineError: there is no connection within the limits of the call (`call_limits`).
    """
    return _open(api_pb2.CLIENT_TYPE_CLIENT, (token_id, token_secret))


def open_container_client() -> modal.Client:
    """The same in a container, which Modal knows without a token; what `modal.Client.from_env` gives there, but for
    the gate. It uses the connection of that client, which Modal's runner uses too: a container may have but one."""
    return _open(api_pb2.CLIENT_TYPE_CONTAINER, None)


def _open(client_type: "api_pb2.ClientType.ValueType", credentials: tuple[str, str] | None) -> modal.Client:
    async def open_gated() -> _Client:
        client = _Client(config["server_url"], client_type, credentials)
        gate = _Gate(client)
        if credentials is None:
            gate.next_channel = (await _Client.from_env())._get_channel
        vars(client).update(_get_channel=gate.get_channel, _call_unary=gate.call_unary, _call_stream=gate.call_stream)
        try:
            await client._open()  # type: ignore[no-untyped-call]
        except BaseException:
            await client.close()
            raise
        return client

    return cast(modal.Client, synchronizer.create_blocking(open_gated)())


def token_workspace(client: modal.Client) -> str:
    """The name of the workspace that the client's token belongs to."""

    async def look_up(implementation: Any) -> str:
        answer = await implementation._stub.TokenInfoGet(api_pb2.TokenInfoGetRequest())
        return str(answer.workspace_name)

    return str(synchronizer.create_blocking(look_up)(client))


@asynccontextmanager
async def _deadline(seconds: float, awaited: str, record: CallRecord) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise CallDeadlineError(f"no {awaited} in time", started=record.started) from None


class _Gate:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.next_channel: Callable[[str], Awaitable[Any]] = client._get_channel
        self.next_unary: Callable[..., Awaitable[Any]] = client._call_unary

    async def get_channel(self, server_url: str) -> Any:
        record = _current.get()
        async with _deadline(min(record.step_seconds, record.seconds_left), f"connection to {server_url}", record):
            return await self.next_channel(server_url)

    async def call_unary(self, method: Any, request: Any, **options: Any) -> Any:
        name = method.name.rsplit("/", 1)[-1]
        if name not in CALLS:
            raise RefusedOutputError(f"calling a function doesn't take {name}, which Modal's client tried")
        record = _current.get()
        seconds = record.seconds_left if name in WAITING_CALLS else min(record.step_seconds, record.seconds_left)
        async with _deadline(seconds, f"answer to {name}", record):
            response = await self.next_unary(method, request, **options)
            if name == "FunctionGetOutputs":
                for output in response.outputs:
                    await self.check(output, record)
            elif name == "AttemptAwait" and response.HasField("output"):
                await self.check(response.output, record)
            elif name == "FunctionMap":
                record.call_id = response.function_call_id
        record.started = record.started or name in ("FunctionMap", "AttemptStart")
        return response

    def call_stream(self, method: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise RefusedOutputError(f"calling a function takes no stream, and Modal's client tried {method.name}")

    async def check(self, output: api_pb2.FunctionGetOutputsItem, record: CallRecord) -> None:
        """Leaves of `output` what may be interpreted; `record` learns its status."""
        result = output.result
        record.status, record.exit_code = result.status, result.exitcode
        result.serialized_tb = result.tb_line_cache = b""
        result.exception = result.exception[-MAX_TEXT_CHARS:]
        result.traceback = result.traceback[-MAX_TEXT_CHARS:]
        if result.status != _SUCCESS:
            result.ClearField("data_oneof")
            return
        if output.data_format != api_pb2.DATA_FORMAT_CBOR:
            name = api_pb2.DataFormat.Name(output.data_format)
            raise RefusedOutputError(f"the container answered in the format {name}, which is not data")
        result.data = cbor2.dumps(await self.payload(result, record))

    async def payload(self, result: api_pb2.GenericResult, record: CallRecord) -> bytes:
        if result.WhichOneof("data_oneof") != "data_blob_id":
            if len(result.data) > record.max_bytes:
                raise OutputTooLargeError
            return result.data
        chunks, size = [], 0
        async for chunk in blob_iter(result.data_blob_id, self.client._stub):
            size += len(chunk)
            if size > record.max_bytes:
                raise OutputTooLargeError
            chunks.append(chunk)
        return b"".join(chunks)
