"""Calls as their callers see them: inputs, outputs, and waiting for what is not there yet."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sized
from dataclasses import dataclass, field

from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.ids import new_id
from local_modal.scheduler import results
from local_modal.scheduler.exchange import Exchange
from local_modal.store.calls import CallStore, StoredCall, StoredInput
from local_modal.store.functions import BoundFunction

RESTARTED = "local Modal was stopped or restarted while the call ran"


@dataclass(eq=False)
class Input:
    """One input of a call, on its way to one container."""

    call: "Call"
    index: int
    payload: api_pb2.FunctionInput
    input_id: str = field(default_factory=lambda: new_id("in"))
    attempts: int = 0
    """How often a container was given it and ended before asking for it."""
    retries: int = 0
    """How often the caller sent it again."""
    done: bool = False

    @property
    def attempt(self) -> str:
        """Names one attempt of the input, so that a caller who retries gets the new attempt's output.

        An unsigned JWT, since the client reads the index out of it (modal's `_utils/jwt_utils.py`).
        """
        parts = {"alg": "none", "typ": "JWT"}, {"idx": self.index, "input_id": self.input_id, "retry": self.retries}
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
        return ".".join([*encoded, ""])


def attempt_of(name: str) -> tuple[str, int]:
    """The input id and the retry count in an attempt's name.

    Raises:
        LocalModalError: it is none.
    """
    try:
        payload = json.loads(base64.urlsafe_b64decode(name.split(".")[1] + "=="))
        return str(payload["input_id"]), int(payload["retry"])
    except (ValueError, LookupError, TypeError) as error:
        raise LocalModalError(f"{name[:64]!r} names no attempt of an input") from error


@dataclass(eq=False)
class Call:
    """One function call. Outputs stay until their caller took them or their time is over."""

    function: BoundFunction
    app_id: str
    kind: int
    invocation: int
    call_id: str = field(default_factory=lambda: new_id("fc"))
    inputs: dict[str, Input] = field(default_factory=dict)
    outputs: list[api_pb2.FunctionGetOutputsItem] = field(default_factory=list)
    created_at: float = field(default_factory=time.time)
    finished_at: float = 0.0
    cancelled: bool = False
    chunks: "list[api_pb2.DataChunk] | None" = None
    """What its generator yielded, in order; None for a call of anything else."""
    exchange: Exchange | None = None
    """The streams of a web endpoint's call; None for a call of anything else."""
    by_container: bool = False
    """Its caller is a container, which has no network to fetch a blob with."""
    retries: int = 0
    """How often its caller may send a failed input again."""
    fetched: bool = False
    """Its caller has its outputs."""
    followed: bool = False
    """Its caller has everything that its generator yielded."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, items: Iterable[api_pb2.FunctionPutInputsItem]) -> list[Input]:
        """Take further inputs."""
        added = [Input(self, item.idx, item.input) for item in items]
        self.inputs.update({entry.input_id: entry for entry in added})
        return added

    @property
    def spawned(self) -> bool:
        """Nobody waits for it: its results are kept for whoever comes with its id."""
        return self.invocation == api_pb2.FUNCTION_CALL_INVOCATION_TYPE_ASYNC

    @property
    def yielded(self) -> Sized | None:
        """What its container has sent before its answer; None where it may send nothing."""
        return self.chunks if self.exchange is None else self.exchange

    @property
    def repeatable(self) -> bool:
        """Whether another container may do all of it again: nobody has seen anything of it."""
        return not self.chunks and not (self.exchange and self.exchange.begun)

    @property
    def unfinished(self) -> int:
        """Inputs without an output (count)."""
        return sum(not entry.done for entry in self.inputs.values())

    def finish(self, entry: Input, item: api_pb2.FunctionGetOutputsItem) -> None:
        """An input has its one output; waiting callers are told."""
        entry.done = True
        entry.payload.ClearField("args_oneof")
        item.idx, item.input_id, item.retry_count = entry.index, entry.input_id, entry.retries
        self.outputs.append(item)
        if not self.unfinished:
            self.finished_at = time.monotonic()
        if self.exchange is not None:
            self.exchange.end(item.result)
        self._changed.set()

    def retry(self, entry: Input, payload: api_pb2.FunctionInput) -> None:
        """An input is run again. Who waits for one input takes any output of it: what failed is no longer there."""
        entry.payload.CopyFrom(payload)
        entry.retries += 1
        entry.attempts = 0
        entry.done = False
        if self.kind != api_pb2.FUNCTION_CALL_TYPE_MAP:
            self.outputs = [item for item in self.outputs if item.input_id != entry.input_id]

    def add_chunk(self, chunk: api_pb2.DataChunk) -> None:
        """Take the generator's next value; one that is there already is passed over."""
        if self.exchange is not None:
            self.exchange.put(chunk)
            return
        assert self.chunks is not None  # noqa: S101 - who calls has looked
        if chunk.index == len(self.chunks) + 1:
            self.chunks.append(chunk)
            self._changed.set()

    async def follow(self, last_index: int, seconds: float) -> AsyncIterator[api_pb2.DataChunk]:
        """What the generator yields after an index, as it comes; open for so long, since clients ask again at once."""
        assert self.chunks is not None  # noqa: S101 - who calls has looked
        end = time.monotonic() + seconds
        while True:
            while last_index < len(self.chunks):
                yield self.chunks[last_index]
                last_index += 1
            self.followed = not self.unfinished
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), end - time.monotonic())
            except TimeoutError:
                return

    async def wait_outputs(self, request: api_pb2.FunctionGetOutputsRequest) -> api_pb2.FunctionGetOutputsResponse:
        """The outputs that the request asks for, as soon as there is one, or none when its timeout is over.

        Entry ids are ``N-0``, N counting this call's outputs: a caller that says the last one it saw gets what follows.
        """
        end = time.monotonic() + max(0.0, request.timeout)
        while True:
            found = self._matching(request)
            left = end - time.monotonic()
            if found or left <= 0:
                return self._response(request, found)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                return self._response(request, self._matching(request))

    def _matching(self, request: api_pb2.FunctionGetOutputsRequest) -> list[tuple[int, api_pb2.FunctionGetOutputsItem]]:
        last = int(request.last_entry_id.partition("-")[0] or 0) if request.last_entry_id else 0
        first = request.start_idx if request.HasField("start_idx") else 0
        final = request.end_idx if request.HasField("end_idx") else None
        inputs = {attempt_of(name)[0] for name in request.input_jwts}
        if self.kind == api_pb2.FUNCTION_CALL_TYPE_MAP:  # says there what had no output yet when the request was made
            inputs = set()
        found = [
            (entry, item)
            for entry, item in enumerate(self.outputs, 1)
            if entry > last
            and item.idx >= first
            and (final is None or item.idx <= final)
            and (not inputs or item.input_id in inputs)
        ]
        return found[: request.max_values] if request.max_values else found

    def _response(
        self, request: api_pb2.FunctionGetOutputsRequest, found: list[tuple[int, api_pb2.FunctionGetOutputsItem]]
    ) -> api_pb2.FunctionGetOutputsResponse:
        return api_pb2.FunctionGetOutputsResponse(
            outputs=[item for _, item in found],
            idxs=[item.idx for _, item in found],
            last_entry_id=f"{found[-1][0]}-0" if found else request.last_entry_id or "0-0",
            num_unfinished_inputs=self.unfinished,
        )


class Calls:
    """Calls, those of earlier control planes included where they were spawned.

    A finished one goes when its result's time is over, or as the oldest when results take too much room.
    """

    def __init__(
        self, result_ttl: float, store: CallStore, resolve: Callable[[str], BoundFunction | None], max_bytes: int
    ) -> None:
        self._calls: dict[str, Call] = {}
        self._result_ttl = result_ttl
        self._store = store
        self._resolve = resolve
        self._max_bytes = max_bytes

    def add(self, call: Call) -> Call:
        """Keep a call."""
        self._expire()
        self._calls[call.call_id] = call
        if call.spawned:
            values = (call.call_id, call.function.bound_id, call.app_id, call.kind, call.invocation, call.created_at)
            self._store.put(StoredCall(*values))
        return call

    def add_inputs(self, call: Call, items: Iterable[api_pb2.FunctionPutInputsItem]) -> list[Input]:
        """Keep further inputs of a call."""
        entries = call.add(items)
        if call.spawned:
            self._store.add(StoredInput(entry.input_id, call.call_id, entry.index) for entry in entries)
        return entries

    def finish(self, entry: Input, item: api_pb2.FunctionGetOutputsItem) -> None:
        """An input has its one output."""
        call = entry.call
        call.finish(entry, item)
        if call.spawned:
            self._store.finish(entry.input_id, item.SerializeToString(), ends="" if call.unfinished else call.call_id)

    def get(self, call_id: str) -> Call | None:
        """The call of that id."""
        return self._calls.get(call_id) or self._load(call_id)

    def forget(self, call: Call) -> None:
        """Its caller has everything."""
        self._calls.pop(call.call_id, None)
        if call.spawned:
            self._store.forget(call.call_id)

    def running(self) -> list[Call]:
        """Calls with inputs left."""
        return [call for call in self._calls.values() if call.unfinished]

    def _load(self, call_id: str) -> Call | None:
        """A call of an earlier control plane: what had no output then has failed."""
        found = self._store.get(call_id)
        function = self._resolve(found[0].bound_id) if found else None
        if found is None or function is None:
            return None
        stored, inputs = found
        call = Call(function, stored.app_id, stored.kind, stored.invocation, call_id, created_at=stored.created_at)
        for kept in inputs:
            entry = Input(call, kept.position, api_pb2.FunctionInput(), kept.input_id, retries=kept.retries)
            call.inputs[entry.input_id] = entry
            item = api_pb2.FunctionGetOutputsItem(result=results.internal_failure(RESTARTED))
            call.finish(entry, api_pb2.FunctionGetOutputsItem.FromString(kept.output) if kept.output else item)
        self._calls[call_id] = call
        return call

    def _expire(self) -> None:
        oldest = time.monotonic() - self._result_ttl
        for call in [call for call in self._calls.values() if call.finished_at and call.finished_at < oldest]:
            self.forget(call)
        for call_id in self._store.finished(time.time() - self._result_ttl):
            self._drop(call_id)
        if self._store.size > self._max_bytes:
            for call_id in self._store.finished():
                if self._store.size > self._max_bytes:
                    self._drop(call_id)

    def _drop(self, call_id: str) -> None:
        self._calls.pop(call_id, None)
        self._store.forget(call_id)
