"""Connections of those who have shown no token and no key yet: few, and for seconds only.

Anyone on the machine can connect. Whoever sends nothing, or too slowly, would otherwise hold descriptors until there
are none left for containers.
"""

import asyncio

SECONDS = 10.0
"""From connecting to a call with a token, or a blob's address (s)."""
MOST = 256
"""Strangers at once; one more, and the longest known has to leave (count)."""


class Strangers:
    """Hangs up on strangers, unless they become known in time."""

    def __init__(self, most: int = MOST, seconds: float = SECONDS) -> None:
        self._most = most
        self._seconds = seconds
        self._timers: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}

    def meet(self, connection: asyncio.Transport) -> None:
        """Someone has connected."""
        if len(self._timers) >= self._most:
            self._leave(next(iter(self._timers)))
        self._timers[connection] = asyncio.get_running_loop().call_later(self._seconds, self._leave, connection)

    def recognise(self, connection: asyncio.BaseTransport | None) -> None:
        """They have shown who they are: they may stay."""
        if connection is not None and (timer := self._timers.pop(connection, None)):
            timer.cancel()

    def _leave(self, connection: asyncio.BaseTransport) -> None:
        self.recognise(connection)
        if isinstance(connection, asyncio.Transport):
            connection.abort()
