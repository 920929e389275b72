"""Runs each request once, however often it is sent: who asks again gets the same answer, or is told that it is gone.

A client that lost its connection asks again on a new one, if that leads to the same container. The running of a request
therefore outlives its connection.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from modal_app.gateway.problems import Problem, busy
from modal_app.settings import WebSettings

Key = tuple[str, str, str]
"""Workspace, session, request."""
MAX_REMEMBERED = 1_000_000


@dataclass
class _Entry:
    task: "asyncio.Task[bytes] | None"
    answer: bytes | None = None
    at: float = field(default_factory=time.monotonic)


class Replays:
    """The requests that this container has run, and its latest answers."""

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._answers: OrderedDict[Key, int] = OrderedDict()
        self._bytes = 0

    async def answer(self, key: Key, run: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `run` gives, called once for each key.

        Raises:
            Problem: it was called, and what it gave isn't kept any more; or there are too many requests to remember.
        """
        self._forget()
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= MAX_REMEMBERED:
                raise busy("this door remembers as many requests as it can: try again")
            entry = self._entries[key] = _Entry(None)
            entry.task = asyncio.create_task(self._run(key, entry, run))
        if entry.task is not None:
            return await asyncio.shield(entry.task)
        if entry.answer is None:
            message = "the block has run, and its answer isn't kept any more"
            raise Problem("ResponseNoLongerAvailable", message, 410)
        return entry.answer

    async def _run(self, key: Key, entry: _Entry, run: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            entry.answer = await run()
        finally:
            entry.task, entry.at = None, time.monotonic()
            self._entries.move_to_end(key)
        self._answers[key] = len(entry.answer)
        self._bytes += len(entry.answer)
        while len(self._answers) > self.settings.replay_entries or self._bytes > self.settings.replay_bytes:
            self._drop()
        return entry.answer

    def _drop(self) -> None:
        """Drops the oldest answer; that its request has run stays known."""
        key, size = self._answers.popitem(last=False)
        self._bytes -= size
        if key in self._entries:
            self._entries[key].answer = None

    def _forget(self) -> None:
        now = time.monotonic()
        while self._answers:
            key = next(iter(self._answers))
            if now - self._entries[key].at <= self.settings.replay_seconds:
                break
            self._drop()
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if entry.task is not None or now - entry.at <= self.settings.executed_seconds:
                break
            if entry.answer is not None:
                self._bytes -= self._answers.pop(key)
            del self._entries[key]


class Sessions:
    """The clients' sessions for which a block has succeeded in this container."""

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def add(self, workspace_id: str, session_id: str) -> None:
        """Notes a success."""
        key = (workspace_id, session_id)
        self._seen[key] = time.monotonic()
        self._seen.move_to_end(key)
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)

    def known(self, workspace_id: str, session_id: str) -> bool:
        """Whether there was one, not too long ago."""
        at = self._seen.get((workspace_id, session_id))
        return at is not None and time.monotonic() - at <= self.settings.executed_seconds
