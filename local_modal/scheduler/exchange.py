"""The two streams of one call of a web endpoint: events for its container, and the container's events for the client.

Both are bounded: whoever sends waits until the other side has taken what there is. A container takes its events by
asking for them (FunctionCallGetDataIn) with the last index that it has worked off; each answer ends after WINDOW_BYTES,
so that it asks again, and that is how its pace reaches the client. Events are kept as the bytes that they travel as.
"""

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable

from modal_proto import api_pb2

from local_modal.errors import LocalModalError

WINDOW_BYTES = 1 << 20
"""What is on its way to a container and not worked off; one event may exceed it (bytes)."""
QUEUED_BYTES = 256 << 10
"""What of a container's events may wait for the client before the container has to (bytes)."""


class Exchange:
    """Used from one event loop. `len()` of it is how many events the container has sent."""

    def __init__(self) -> None:
        self.begun = False
        """The container has asked for the request: it can't be given to another."""
        self.result: api_pb2.GenericResult | None = None
        """How the call ended; None while it runs."""
        self.fault = ""
        """How the container broke the protocol."""
        self._index = 0
        self._to_container: deque[api_pb2.DataChunk] = deque()
        self._held_bytes = 0
        self._count = 0
        self._to_client: deque[bytes] = deque()
        self._queued_bytes = 0
        self._left = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    # --- the client's side ------------------------------------------------------------------------------------

    async def send(self, event: api_pb2.Asgi) -> None:
        """An event for the container, when there is room for it; dropped once the call has ended."""
        await self._until(lambda: self._held_bytes < WINDOW_BYTES or self.result is not None)
        self.send_now(event)

    def send_now(self, event: api_pb2.Asgi) -> None:
        """The same without waiting for room."""
        if self.result is not None:
            return
        self._index += 1
        data = event.SerializeToString()
        self._to_container.append(api_pb2.DataChunk(data_format=api_pb2.DATA_FORMAT_ASGI, data=data, index=self._index))
        self._held_bytes += len(data)
        self._tell()

    async def receive(self) -> bytes | None:
        """The container's next event, a serialised Asgi; None when the call has ended and all events are taken."""
        await self._until(lambda: bool(self._to_client) or self.result is not None)
        return self.taken()

    def taken(self) -> bytes | None:
        """The container's next event, where there is one already."""
        if not self._to_client:
            return None
        event = self._to_client.popleft()
        self._queued_bytes -= len(event)
        self._tell()
        return event

    def leave(self) -> None:
        """Nobody takes the container's events any more: they are dropped, so that it doesn't wait."""
        self._left = True
        self._to_client.clear()
        self._queued_bytes = 0
        self._tell()

    async def ended(self) -> None:
        """Until the call has ended."""
        await self._until(lambda: self.result is not None)

    # --- the container's side ---------------------------------------------------------------------------------

    async def follow(self, last_index: int) -> AsyncIterator[api_pb2.DataChunk]:
        """Events after an index, as they come; what is up to it has been worked off.

        Ends after WINDOW_BYTES. Once the call has ended there are no more, and the container, which is ending too,
        isn't told so: it would only ask again.

        Raises:
            LocalModalError: an index that wasn't reached, or that was passed before.
        """
        first = self._index - len(self._to_container) + 1
        if not first - 1 <= last_index <= self._index:
            raise LocalModalError(f"event {last_index} is none that was sent and not worked off")
        self.begun = True
        for _ in range(last_index - first + 1):
            self._held_bytes -= len(self._to_container.popleft().data)
        self._tell()
        sent = 0
        while sent < WINDOW_BYTES:
            await self._until(functools.partial(self._reaches, last_index))
            chunk = self._to_container[last_index - self._index + len(self._to_container)]
            last_index += 1
            sent += len(chunk.data)
            yield chunk

    def _reaches(self, last_index: int) -> bool:
        return self._index > last_index

    def put(self, chunk: api_pb2.DataChunk) -> None:
        """Take the container's next event; one that is there already is passed over."""
        if chunk.index != self._count + 1:
            return
        self._count += 1
        if not self._left:
            self._to_client.append(chunk.data)
            self._queued_bytes += len(chunk.data)
            self._tell()

    async def drained(self) -> None:
        """Until the client has taken nearly all of it."""
        await self._until(lambda: self._queued_bytes <= QUEUED_BYTES or self._left)

    def end(self, result: api_pb2.GenericResult) -> None:
        """The call has ended; nothing more goes to the container."""
        self.result = result
        self._tell()

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
