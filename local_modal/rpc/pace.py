"""How much work a peer may cause: frames are handled a few at a time, within a rate, and only while the peer reads.

h2 and grpclib handle all that has arrived in one go, and answer pings and settings whether anyone reads the answers or
not. A frame costs the sender next to nothing and us up to a millisecond, so that one container could hold up all others
and let the answers to it pile up. Here it is slowed down instead, and nobody else notices. A connection on which
something arrives that h2 or grpclib fails on is closed.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from grpclib.protocol import H2Protocol
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame

log = logging.getLogger(__name__)
PREFACE_BYTES = 24
"""What a client sends before its first frame (RFC 9113, 3.4)."""
HEADER_BYTES = 9
"""Of a frame: length (3), type, flags, stream (4) (RFC 9113, 4.1)."""
HEADERS = 1
REQUEST_COST = 4
"""What the frame that opens a request counts for."""
FRAME_BYTES = 256 << 10
"""Largest frame that a peer may send: sixteen times the usual, since each costs the same whatever its size."""
BATCH = 256
"""Frames handled before the loop turns to others (cost)."""


def _in_short(frame: DataFrame) -> str:
    """h2 words each frame for a trace that nobody asked for; in hexadecimal that takes half of what a frame takes."""
    return f"{len(frame.data)} bytes"


DataFrame._body_repr = _in_short  # type: ignore[method-assign, assignment]


@dataclass(frozen=True)
class Pace:
    """So many frames at once, then so many a second (cost: 1 for each frame, REQUEST_COST for a request)."""

    burst: int
    per_second: int

    @classmethod
    def of_container(cls, *, max_bytes: int, restricted: bool, endpoint: bool = False) -> Self:
        """All that it may send can come at once, in frames of 8 KiB.

        A restricted container asks for an input, answers it, and sends a heartbeat now and then; one that serves a web
        endpoint answers for as long as a connection lasts; others call functions.
        """
        calm = 1_000 if endpoint else 200
        return cls(burst=2_000 + (max_bytes >> 13), per_second=calm if restricted else 5_000)


STRANGER = Pace(burst=2_000, per_second=200)
"""It has shown no token yet."""
ACCOUNT = Pace(burst=50_000, per_second=20_000)


class PacedProtocol(H2Protocol):  # type: ignore[misc] # grpclib has no types
    """The server's side of one HTTP/2 connection, at a pace; `on_lost` is called when the connection is gone."""

    def __init__(self, pace: Pace, *arguments: Any, on_lost: Callable[[], None] = lambda: None) -> None:
        super().__init__(*arguments)
        self._pace = pace
        self._on_lost = on_lost
        self._tokens = float(pace.burst)
        self._counted_at = time.monotonic()
        self._waiting = b""
        self._skip = PREFACE_BYTES
        self._timer: asyncio.TimerHandle | None = None

    def go_at(self, pace: Pace) -> None:
        """From now on at another pace, beginning with its burst; does nothing where it is at that pace already."""
        if pace != self._pace:
            self._pace, self._tokens = pace, float(pace.burst)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As of any protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's
        self._transport = transport
        super().connection_made(transport)
        self.connection._connection.update_settings({SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES})
        self.connection.flush()

    def connection_lost(self, exc: BaseException | None) -> None:
        """As of any protocol."""
        self._waiting = b""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Handle what may be handled now; read on when the rest is handled too."""
        self._waiting += data
        if self._timer is None and self._peer_reads():
            self._handle()

    def pause_writing(self) -> None:
        """The peer leaves our answers unread: nothing more of it is handled."""
        super().pause_writing()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It has read them."""
        super().resume_writing()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(0, self._handle)

    def _peer_reads(self) -> bool:
        return bool(self.connection.write_ready.is_set())

    def _handle(self) -> None:
        self._timer = None
        if self._transport.is_closing() or not self._peer_reads():
            return
        taken = self._take()
        data, self._waiting = self._waiting[:taken], self._waiting[taken:]
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001 - whatever bytes of others bring h2 and grpclib to
            log.debug("closing a connection: %r", error)
            self._transport.abort()
            return
        if not self._peer_reads():
            return
        if len(self._waiting) < HEADER_BYTES:
            self._transport.resume_reading()
            return
        self._transport.pause_reading()
        delay = max(0.0, (BATCH - self._tokens) / self._pace.per_second)
        self._timer = asyncio.get_running_loop().call_later(delay, self._handle)

    def _take(self) -> int:
        """How many of the waiting bytes may be handled now, whole frame headers only; counts their cost."""
        now = time.monotonic()
        earned = (now - self._counted_at) * self._pace.per_second
        self._tokens, self._counted_at = min(self._pace.burst, self._tokens + earned), now
        end, allowed = self._skip, min(BATCH, self._tokens)
        for frame_end, cost in self._frames():
            end = frame_end
            allowed -= cost
            self._tokens -= cost
            if allowed <= 0:
                break
        taken = min(end, len(self._waiting))
        self._skip = end - taken
        return taken

    def _frames(self) -> Iterator[tuple[int, int]]:
        """Of each frame whose header is there: where it ends, and what it costs."""
        position = self._skip
        while position + HEADER_BYTES <= len(self._waiting):
            length = int.from_bytes(self._waiting[position : position + 3], "big")
            cost = REQUEST_COST if self._waiting[position + 3] == HEADERS else 1
            position += HEADER_BYTES + length
            yield position, cost
