"""One container as the control plane knows it: its socket is its identity, its inputs are all that it may answer."""

import asyncio
import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from modal_proto import api_pb2

from local_modal.ids import new_id
from local_modal.runtime.payload import Payload
from local_modal.scheduler import results
from local_modal.scheduler.calls import Input
from local_modal.scheduler.logs import LogPipes, LogWriter
from local_modal.store.functions import BoundFunction
from local_modal.store.logs import LogLine

HEARTBEAT_HOLD_SECONDS = 10.0
"""A heartbeat is answered at once when an input is cancelled, else after this (the client gives up after 15 s)."""
DEFAULT_SCALEDOWN_WINDOW = 60
"""How long an idle container waits for its next input, where the function doesn't say (s)."""
VARIANT = "+"
"""Between a definition's id and what tells its variants apart."""
PLAIN_PARAMETERS = frozenset(
    {api_pb2.PARAM_TYPE_STRING, api_pb2.PARAM_TYPE_INT, api_pb2.PARAM_TYPE_BOOL, api_pb2.PARAM_TYPE_BYTES}
)


class Process(Protocol):
    """What the scheduler needs of a running container (`runtime.Container`)."""

    def assign(self, function_id: str, serialized_params: bytes) -> None:
        """Let it fetch its input."""

    def kill(self) -> None:
        """End it now."""


class Connection(Protocol):
    """The served end of a task's socket."""

    def close(self) -> None:
        """Hang up."""


@dataclass(eq=False)
class Task:
    """A container from its start to its end."""

    definition: "Definition"
    log: LogPipes = field(init=False)
    task_id: str = field(default_factory=lambda: new_id("ta"))
    bound: BoundFunction | None = None
    process: Process | None = None
    connection: Connection | None = None
    payload: Payload | None = None
    """Memory that it shares with us, for a large argument and a large answer."""
    assigned: deque[Input] = field(default_factory=deque)
    """Inputs that it is to fetch."""
    running: dict[str, Input] = field(default_factory=dict)
    """Inputs that it has fetched and not answered."""
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    getter: "asyncio.Future[Input | None] | None" = None
    """Set while it waits for an input; None as the result means: end."""
    served: int = 0
    max_bytes: int = 256 << 20
    received_bytes: int = 0
    failure: api_pb2.GenericResult | None = None
    """Its own report of why it couldn't start (TaskResult)."""
    stopping: bool = False
    """It is ended on purpose: it gets no more inputs, and those that it leaves undone go to other containers."""
    given_at: float = float("-inf")
    """When it was last given an input (s, of the event loop's clock)."""
    spent: bool = False
    """An input of it is cancelled and doesn't end: it is ended as soon as it runs nothing else."""
    wanted: Callable[[], bool] = lambda: False
    """Whether it is to wait on, although it has been idle for long."""
    on_asked: Callable[[], None] | None = None
    """Called once, when it asks for its first input."""
    started_at: float = field(default_factory=time.time)
    _cancelled: set[str] = field(default_factory=set)
    _cancel: asyncio.Event = field(default_factory=asyncio.Event)

    def left_bytes(self) -> int:
        """How much it may still send."""
        return self.max_bytes - self.received_bytes

    def too_much(self, size: int) -> None:
        """It sent more than it may: its inputs are answered, and it ends."""
        what = f"{size} more bytes are over the {self.max_bytes} that a container may send in all"
        self.failure = results.refused(what)
        self.kill()

    def let_go(self) -> None:
        """It is gone, or was never there: nothing of it is kept open."""
        self.log.drain_and_close()
        if self.connection is not None:
            self.connection.close()
        if self.payload is not None:
            self.payload.close()
            self.payload = None

    def open_log(self, writer: LogWriter, max_bytes: int) -> None:
        """Take what the container prints."""
        self.log = LogPipes(writer, self.log_context, max_bytes)

    @property
    def inputs(self) -> list[Input]:
        """Everything that ends with it."""
        return [*self.assigned, *self.running.values()]

    def log_context(self) -> LogLine:
        """Whose output its log pipes carry now."""
        current = next(iter(self.running.values()), None)
        return LogLine(
            app_id=self.definition.app_id,
            function_id=self.definition.function_id,
            task_id=self.task_id,
            call_id=current.call.call_id if current else "",
            input_id=current.input_id if current else "",
            source=0,
            timestamp=0.0,
            data="",
        )

    def asked(self) -> None:
        """It has started: it asks for an input."""
        if self.on_asked is not None:
            told, self.on_asked = self.on_asked, None
            told()

    def cancel(self, entry: Input) -> None:
        """Tell the container, by its heartbeat, to stop working on an input."""
        self._cancelled.add(entry.input_id)
        self._cancel.set()

    async def heartbeat(self) -> api_pb2.ContainerHeartbeatResponse:
        """Held until an input of the container is cancelled.

        An answer always has an event, be it of no input: without one the client would wait until 15 s after its
        question, and hear of no cancellation until then; with one it asks again after 1 s.
        """
        if not self._cancelled:
            self._cancel.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._cancel.wait(), HEARTBEAT_HOLD_SECONDS)
        input_ids, self._cancelled = sorted(self._cancelled), set()
        return api_pb2.ContainerHeartbeatResponse(cancel_input_event=api_pb2.CancelInputEvent(input_ids=input_ids))

    def stop(self) -> None:
        """No more inputs; it ends by itself when it asks for the next, with what it runs answered."""
        self.stopping = True
        if self.getter is not None and not self.getter.done():
            self.getter.set_result(None)

    def hung_up(self) -> None:
        """Its connection is closed: it can answer nothing any more, so it ends where an answer of it is awaited."""
        if self.running or self.getter is not None:
            self.kill()

    def end(self) -> None:
        """End it now, and let other containers do what it leaves undone."""
        self.stopping = True
        self.kill()

    def kill(self) -> None:
        """End it now; what it runs has failed."""
        if self.process is not None:
            self.process.kill()


@dataclass(frozen=True)
class Definition:
    """A function's definition, with what the scheduler reads of it worked out."""

    definition_id: str
    function_id: str
    app_id: str
    environment: str
    function: api_pb2.Function

    @property
    def base_id(self) -> str:
        """Of the definition that this is, or is a variant of."""
        return self.definition_id.partition(VARIANT)[0]

    @property
    def single_use(self) -> bool:
        """A fresh container for each input."""
        return bool(self.function.single_use_containers or self.function.max_inputs == 1)

    @property
    def one_input(self) -> bool:
        """A container is given one input in its life."""
        return self.single_use and self.batch_size == 1

    @property
    def snapshot(self) -> bool:
        """Containers start from a snapshot taken after imports and `@enter(snap=True)`."""
        return bool(self.function.checkpointing_enabled)

    @property
    def restricted(self) -> bool:
        """`restrict_modal_access=True`."""
        return bool(self.function.untrusted)

    @property
    def serves_web(self) -> bool:
        """Whether it, or a method of the class that it is, is a web endpoint."""
        methods = self.function.method_definitions.values()
        return bool(self.function.webhook_config.type) or any(method.webhook_config.type for method in methods)

    @property
    def shareable(self) -> bool:
        """One snapshot may serve all parameters: they are typed data, which can be kept from the snapshot phase."""
        info = self.function.class_parameter_info
        typed = info.format == api_pb2.ClassParameterInfo.PARAM_SERIALIZATION_FORMAT_PROTO
        return typed and all((spec.full_type.base_type or spec.type) in PLAIN_PARAMETERS for spec in info.schema)

    @property
    def timeout(self) -> float:
        """Of one input (s)."""
        return float(self.function.timeout_secs)

    @property
    def concurrency(self) -> int:
        """Inputs that one container works on at once."""
        return int(self.function.target_concurrent_inputs or self.function.max_concurrent_inputs or 1)

    @property
    def most_concurrency(self) -> int:
        """The same where more inputs wait than containers can take."""
        return max(self.concurrency, int(self.function.max_concurrent_inputs))

    @property
    def batch_size(self) -> int:
        """Inputs that one container is given at once, at most."""
        return max(1, int(self.function.batch_max_size))

    @property
    def batch_wait(self) -> float:
        """How long a container's first input waits for others (s)."""
        return float(self.function.batch_linger_ms) / 1000

    @property
    def autoscaler(self) -> api_pb2.AutoscalerSettings:
        """How many containers there are to be, by the definition alone."""
        settings = api_pb2.AutoscalerSettings()
        settings.CopyFrom(self.function.autoscaler_settings)
        if self.function.concurrency_limit and not settings.max_containers:
            settings.max_containers = self.function.concurrency_limit
        if self.function.task_idle_timeout_secs and not settings.scaledown_window:
            settings.scaledown_window = self.function.task_idle_timeout_secs
        return settings

    def is_generator(self, method: str) -> bool:
        """Whether the function, or the method of a class, yields its results."""
        methods = self.function.method_definitions
        kind = methods[method].function_type if method in methods else self.function.function_type
        return kind == api_pb2.Function.FUNCTION_TYPE_GENERATOR

    def output_formats(self, method: str) -> list[int]:
        """The formats in which the function, or the method of a class, may answer."""
        methods = self.function.method_definitions
        formats = (
            methods[method].supported_output_formats if method in methods else self.function.supported_output_formats
        )
        return list(formats) or [api_pb2.DATA_FORMAT_PICKLE, api_pb2.DATA_FORMAT_CBOR]


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """The control plane's end and the container's end of a task's socket."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
