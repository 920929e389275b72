"""What all WebSocket connections of one container share: its identity, its sessions, and what has run."""

import uuid
from collections.abc import Callable
from functools import cached_property

from modal_app.gateway.answers import problem_answer
from modal_app.gateway.problems import Problem
from modal_app.gateway.replays import Replays, Sessions
from modal_app.gateway.requests import Work
from modal_app.gateway.service import MESSAGE_BYTES, Service


class Endpoint:
    """Answers requests that came over WebSocket, each once.

    Args:
        service: runs blocks.
        seconds: how long one may take, with the start of its sandbox.
        over: whether no more blocks can run here, so that connections end.
    """

    def __init__(self, service: Service, seconds: float, over: Callable[[], bool] = lambda: False) -> None:
        self.service = service
        self.seconds = seconds
        self.replays = Replays(service.settings)
        self.sessions = Sessions(service.settings)
        self.over = over

    @cached_property
    def container_id(self) -> str:
        """Made at the first connection: containers of one memory snapshot must not share it."""
        return uuid.uuid4().hex

    async def answer(self, work: Work, session_id: str | None, request_id: str | None) -> bytes:
        """The message that answers `work`.

        Raises:
            Problem: it has run already, and its answer is gone.
        """
        if session_id is None or request_id is None:
            return await self._run(work, session_id, request_id)
        key = (work.workspace_id, session_id, request_id)
        return await self.replays.answer(key, lambda: self._run(work, session_id, request_id))

    async def _run(self, work: Work, session_id: str | None, request_id: str | None) -> bytes:
        try:
            answer = await self.service.answer(work, self.seconds)
        except Problem as problem:
            answer = problem_answer(problem)
        message = answer.as_msgpack(request_id)
        if len(message) > MESSAGE_BYTES:
            text = f"the answer has {len(message):,} bytes; it may have {MESSAGE_BYTES:,}"
            return problem_answer(Problem("ResponseTooLarge", text)).as_msgpack(request_id)
        if answer.succeeded and session_id is not None:
            self.sessions.add(work.workspace_id, session_id)
        return message
