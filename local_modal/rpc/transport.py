"""gRPC over a socket: who is calling, what they may call, and how much they may send."""

import asyncio
import logging
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpclib.server
import h2.config
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpclib import GRPCError, Status
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler
from grpclib.encoding.proto import ProtoCodec
from grpclib.events import RecvRequest, _DispatchServerEvents
from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.rpc import access, pace, wire
from local_modal.rpc.access import Level
from local_modal.rpc.pace import Pace, PacedProtocol
from local_modal.scheduler.task import Task
from local_modal.store.principals import ServiceUser
from local_modal.strangers import Strangers
from local_modal.web.address import web_configs

log = logging.getLogger(__name__)
SERVICE = api_pb2.DESCRIPTOR.services_by_name["ModalClient"]
PREFIX = struct.Struct(">?I")
"""gRPC's own framing: a flag that says whether the message is compressed, and its length (bytes)."""
WINDOW_BYTES = 8 << 20
FRAMING_BYTES = 1 << 20
"""What a message may measure beyond the arguments that it carries."""
SHELL = re.compile("AuthTokenGet|Sandbox|ContainerExec|TaskGetCommandRouterAccess")
"""RPCs of modal's `shell`, `container exec` and Sandbox."""
MAX_FIELDS = 10_000
"""Fields of a container's message: one takes two bytes to send, and a hundred to hold once it is parsed (count)."""


@dataclass(frozen=True)
class Account:
    """A caller with a token: the workspace's owner, or (`service_user`) one with `levels` in environments, by name."""

    token_id: str
    client_version: str
    max_message_bytes: int
    service_user: ServiceUser | None = None
    levels: Mapping[str, Level] = field(default_factory=dict)

    def left_bytes(self) -> int:
        """How large its next message may be."""
        return self.max_message_bytes

    def level_in(self, environment: str) -> Level:
        """What it may do in an environment."""
        return self.levels.get(environment, Level.ANY) if self.service_user else Level.OWNER

    @property
    def level_anywhere(self) -> Level:
        """What it may do in the environment where it may do most."""
        return max(self.levels.values(), default=Level.ANY) if self.service_user else Level.OWNER


@dataclass
class Check:
    """What the call that is being answered needs in an environment, and whether that was looked at."""

    level: Level
    done: bool = False


Caller = Account | Task
CALLER: ContextVar[Caller] = ContextVar("caller")
REACHED_AT: ContextVar[str] = ContextVar("reached_at", default="")
"""The address that the caller used, by the request's own pseudo-headers: behind a published port only it knows that."""
CHECK: ContextVar[Check] = ContextVar("check")
Method = Callable[[Any], Awaitable[Message] | AsyncIterator[Message]]
Authenticate = Callable[[Any], Account]


def handlers(methods: dict[str, Method], unserved: Callable[[str], None]) -> dict[str, Handler]:
    """The table for every RPC of the service, served or not; built once, since it is the same for each connection."""
    table = {}
    for method in SERVICE.methods:
        cardinality = Cardinality.UNARY_STREAM if method.server_streaming else Cardinality.UNARY_UNARY
        request_type, response_type = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        function = methods.get(method.name)
        serve = _served(method.name, function, request_type) if function else _refused(method.name, unserved)
        table[f"/{SERVICE.full_name}/{method.name}"] = Handler(serve, cardinality, request_type, response_type)
    return table


def _served(name: str, function: Method, request_type: type[Message]) -> Callable[[Any], Awaitable[None]]:
    async def serve(stream: grpclib.server.Stream[Any, Any]) -> None:
        try:
            request = await _receive(stream, request_type)
            answer = function(request)
            if isinstance(answer, AsyncIterator):
                async for message in answer:
                    _ensure_checked(name)
                    await stream.send_message(message)
            else:
                message = await answer
                _ensure_checked(name)
                await stream.send_message(message)
        except (GRPCError, OSError):
            raise
        except LocalModalError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        except Exception as error:
            log.exception("%s failed", name)
            text = f"local Modal failed in {name}: {type(error).__name__}; see `local-modal logs`"
            raise GRPCError(Status.FAILED_PRECONDITION, text) from error

    return serve


def _ensure_checked(name: str) -> None:
    """Deny by default: nothing of an environment leaves before the caller's role in it was looked at."""
    caller, check = CALLER.get(), CHECK.get()
    needs_role = check.level in {Level.VIEWER, Level.CONTRIBUTOR}
    if needs_role and not check.done and isinstance(caller, Account) and caller.service_user:
        raise GRPCError(Status.PERMISSION_DENIED, f"{name} is refused to service users")


def _refused(name: str, unserved: Callable[[str], None]) -> Callable[[Any], Awaitable[None]]:
    async def refuse(_stream: object) -> None:
        unserved(name)
        why = ": it has no shell, no exec and no sandboxes" if SHELL.match(name) else ""
        text = f"local Modal doesn't serve {name}{why}; docs/local-modal.md lists what it serves"
        raise GRPCError(Status.UNIMPLEMENTED, text)

    return refuse


async def _receive(stream: Any, request_type: type[Message]) -> Message:
    """One message, with a bound on its size, which grpclib's own recv_message lacks."""
    caller = CALLER.get()
    compressed, length = PREFIX.unpack(await _read(stream, PREFIX.size))
    if compressed:
        raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not served")
    limit = caller.left_bytes()
    if length > limit:
        if isinstance(caller, Task):
            caller.too_much(length)
        raise GRPCError(Status.RESOURCE_EXHAUSTED, f"a message of {length} bytes is over the limit of {limit} bytes")
    if isinstance(caller, Task):
        caller.received_bytes += length
    data = await _read(stream, length)
    if isinstance(caller, Task) and not wire.few_fields(data, request_type, MAX_FIELDS):
        raise GRPCError(Status.RESOURCE_EXHAUSTED, f"a message of more than {MAX_FIELDS} fields")
    try:
        return request_type.FromString(data)
    except DecodeError as error:
        raise GRPCError(Status.INVALID_ARGUMENT, "not a message of this RPC") from error


async def _read(stream: Any, size: int) -> bytes:
    """Exactly so many bytes of a request; grpclib asserts that a peer sends what it announced."""
    try:
        data: bytes = await stream._stream.recv_data(size)
    except AssertionError:
        data = b""
    if len(data) < size:
        raise GRPCError(Status.INVALID_ARGUMENT, "the message is cut short")
    return data


class Transport:
    """Makes the protocol of one connection: over TCP for accounts, over a task's socket for its container."""

    def __init__(self, table: dict[str, Handler], authenticate: Authenticate, strangers: Strangers) -> None:
        self._table = table
        self._authenticate = authenticate
        self._strangers = strangers
        self._codec = ProtoCodec()
        config = Configuration(http2_connection_window_size=WINDOW_BYTES, http2_stream_window_size=WINDOW_BYTES)
        self._config = config.__for_server__()
        self._h2_config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="ascii",
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_inbound_headers=False,
            normalize_outbound_headers=False,
        )

    def for_account(self) -> PacedProtocol:
        """A connection whose calls carry a token each."""

        async def identify(event: RecvRequest) -> None:
            account = self._authenticate(event.metadata)
            self._strangers.recognise(event.peer._transport)
            protocol.go_at(pace.ACCOUNT)
            name = event.method_name.rpartition("/")[2]
            if name in access.CONTAINER_ONLY:
                raise GRPCError(Status.PERMISSION_DENIED, f"{name} is for containers")
            level = access.ACCOUNT.get(name, Level.OWNER)
            if level is Level.OWNER and account.service_user:
                raise GRPCError(Status.PERMISSION_DENIED, f"{name} is for the workspace's owner, not for service users")
            if level is Level.OWN and account.level_anywhere < Level.CONTRIBUTOR:
                raise GRPCError(Status.PERMISSION_DENIED, f"{name} needs the role contributor in some environment")
            CALLER.set(account)
            CHECK.set(Check(level))

        protocol = self._protocol(identify, pace.STRANGER)
        return protocol

    async def for_task(self, task: Task, end: socket.socket) -> asyncio.Transport:
        """Serve a task's socket: whoever holds its other end is the task, and may do what its definition allows."""
        restricted = task.definition.restricted
        allowed = access.RESTRICTED_CONTAINER if restricted else access.CONTAINER
        endpoint = bool(web_configs(task.definition.function))
        at = Pace.of_container(max_bytes=task.max_bytes, restricted=restricted, endpoint=endpoint)

        async def identify(event: RecvRequest) -> None:
            name = event.method_name.rpartition("/")[2]
            if name not in allowed:
                raise GRPCError(Status.PERMISSION_DENIED, f"{name} is refused: this container may not call it")
            CALLER.set(task)
            CHECK.set(Check(Level.ANY))

        end.setblocking(False)
        loop = asyncio.get_running_loop()
        protocol = self._protocol(identify, at, task.hung_up)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, end)
        return transport

    def _protocol(
        self,
        identify: Callable[[RecvRequest], Awaitable[None]],
        at: Pace,
        on_lost: Callable[[], None] = lambda: None,
    ) -> PacedProtocol:
        dispatch = _DispatchServerEvents()
        dispatch.add_listener(RecvRequest, identify)
        handler = AddressedHandler(self._table, self._codec, None, dispatch)
        return PacedProtocol(at, handler, self._config, self._h2_config, on_lost=on_lost)


class AddressedHandler(grpclib.server.Handler):  # type: ignore[misc] # grpclib has no types
    """Keeps each request's address for what answers it (REACHED_AT)."""

    def accept(self, stream: Any, headers: Sequence[tuple[str, str]], release_stream: Callable[[], Any]) -> None:
        """As of any handler; the task that answers is made inside, with this context."""
        given = dict(headers)
        scheme, authority = given.get(":scheme"), given.get(":authority")
        REACHED_AT.set(f"{scheme}://{authority}" if scheme and authority else "")
        super().accept(stream, headers, release_stream)
