"""The WebSocket door, protocol 2 as the released client speaks it: `WebSocketModalExecutor` in modal_executor.py.

A connection reads all the time, so that heartbeats are answered while a block runs, and closes itself only between
messages that it has read and answered: by "closing" the client is told that nothing it has just sent was read. A peer
that doesn't begin with "hello" is one of protocol 1, which knows neither.
"""

import asyncio
import time
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from modal_app.gateway import frames
from modal_app.gateway.answers import problem_answer
from modal_app.gateway.endpoint import Endpoint
from modal_app.gateway.problems import Problem, bad_request, busy
from modal_app.gateway.requests import Work, read_work
from modal_app.gateway.service import Budget

PROTOCOL = 2
NORMAL, PROTOCOL_ERROR, NO_TEXT, INVALID, TOO_BIG, INTERNAL = 1000, 1002, 1003, 1007, 1009, 1011
MAX_ID_CHARS = 128
MAX_RUNNING = 8
"""Requests of one connection at once; the released client has one."""
CLOSE_SECONDS = 5
TOO_LARGE = 413


class HangUp(Exception):
    """The connection has to end: with a close code, and a message to the peer before it if there is one to say."""

    def __init__(self, code: int, problem: Problem | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.problem = problem


class Connection:
    """One connection, from its accepting to its close."""

    def __init__(self, socket: WebSocket, workspace_id: str, endpoint: Endpoint, seconds: float) -> None:
        self.socket = socket
        self.workspace_id = workspace_id
        self.endpoint = endpoint
        self.settings = endpoint.service.settings
        self.deadline = time.monotonic() + seconds
        self.session_id: str | None = None
        self.greeted = False
        self.running: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        """Serves it to its end; nothing of it is left then but blocks that run."""
        await self.socket.accept()
        try:
            await self._converse()
        except WebSocketDisconnect:
            pass
        except HangUp as end:
            await self._hang_up(end)
        finally:
            for task in self.running:
                task.cancel()
            await asyncio.gather(*self.running, return_exceptions=True)

    async def _converse(self) -> None:
        receiving = asyncio.create_task(self._frame())
        idle_since = time.monotonic()
        try:
            while True:
                ends = min(self.deadline, idle_since + self.settings.idle_seconds)
                wait = None if self.running else max(0.0, ends - time.monotonic())
                done, _ = await asyncio.wait(
                    {receiving, *self.running}, timeout=wait, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    await self._say_goodbye()
                    return
                for task in done - {receiving}:
                    self.running.discard(task)
                    task.result()
                idle_since = time.monotonic()
                if receiving in done:
                    await self._take(receiving.result())
                    receiving = asyncio.create_task(self._frame())
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _take(self, frame: bytes) -> None:
        """Answers what begins with `frame`, or starts to."""
        held = _Held(self.endpoint.service.budget)
        try:
            fields = frames.read(frame)
            if "_chunked" in fields and len(frame) < frames.CONTROL_BYTES:
                fields = frames.read(await self._pieces(frames.chunks(fields), held))
            if "_kind" in fields:
                await self._control(fields)
            else:
                await self._execute(fields, held)
                held = _Held(self.endpoint.service.budget)
        except Problem as problem:
            raise HangUp(TOO_BIG if problem.status == TOO_LARGE else INVALID, problem) from problem
        finally:
            held.release()
        self.greeted = True

    async def _pieces(self, count: int, held: "_Held") -> bytes:
        message = bytearray()
        for _ in range(count):
            async with self._in_time(bad_request("the next piece of a message didn't come in time")):
                piece = await self._frame()
            frames.check_size(len(message) + len(piece))
            held.take(len(piece))
            message += piece
        return bytes(message)

    async def _control(self, fields: dict[str, Any]) -> None:
        match fields["_kind"]:
            case "heartbeat":
                await self._send(frames.pack(_kind="heartbeat_ack"))
            case "hello" if not self.greeted:
                await self._greet(fields)
            case _:
                raise HangUp(PROTOCOL_ERROR, bad_request("a message of this kind doesn't belong here"))

    async def _greet(self, fields: dict[str, Any]) -> None:
        session_id, proto = fields.get("session_id"), fields.get("proto")
        if not _is_id(session_id) or type(proto) is not int or proto < PROTOCOL:
            raise HangUp(PROTOCOL_ERROR, bad_request("hello needs a session_id, and proto 2"))
        self.session_id = session_id
        await self._send(
            frames.pack(
                _kind="hello",
                proto=PROTOCOL,
                idle_timeout_s=self.settings.idle_seconds,
                session_known=self.endpoint.sessions.known(self.workspace_id, str(session_id)),
                container_id=self.endpoint.container_id,
            )
        )

    async def _execute(self, fields: dict[str, Any], held: "_Held") -> None:
        """Starts a run; what is wrong with the request is answered at once, with its id if it has one."""
        request_id = fields.get("request_id")
        try:
            if not _is_id(request_id) and (request_id is not None or self.session_id is not None):
                request_id = None
                raise bad_request("request_id is not a text of a reasonable length")
            if len(self.running) >= MAX_RUNNING:
                raise busy("this connection has as many blocks running as it may: try again")
            inputs = fields.get("inputs")
            if type(inputs) is not bytes:
                raise bad_request("there are no inputs")
            work = read_work(self.workspace_id, fields, inputs, self.endpoint.service.codes)
        except Problem as problem:
            held.release()
            await self._send(problem_answer(problem).as_msgpack(request_id))
            return
        self.running.add(asyncio.create_task(self._respond(work, request_id, held)))

    async def _respond(self, work: Work, request_id: str | None, held: "_Held") -> None:
        try:
            message = await self.endpoint.answer(work, self.session_id, request_id)
        except Problem as problem:
            message = problem_answer(problem).as_msgpack(request_id)
        finally:
            held.release()
        await self._send(message)
        if self.endpoint.over():
            raise HangUp(INTERNAL)

    async def _frame(self) -> bytes:
        """The next binary frame.

        Raises:
            HangUp: it is text, or larger than a frame may be.
            WebSocketDisconnect: there is none.
        """
        received = await self.socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", NORMAL))
        frame = received.get("bytes")
        if frame is None:
            raise HangUp(NO_TEXT, bad_request("a text frame: messages are msgpack, in binary frames"))
        if len(frame) > frames.FRAME_BYTES:
            raise HangUp(TOO_BIG, Problem("RequestTooLarge", "a frame has more than 1 MiB: send it in pieces", 413))
        return bytes(frame)

    async def _send(self, message: bytes) -> None:
        async with self._sending:
            for frame in frames.split(message):
                async with self._in_time(None):
                    await self.socket.send_bytes(frame)

    async def _say_goodbye(self) -> None:
        if self.session_id is not None:
            await self._send(frames.pack(_kind="closing"))
        await self._close(NORMAL)

    async def _hang_up(self, end: HangUp) -> None:
        if end.problem is not None:
            try:
                await self._send(problem_answer(end.problem).as_msgpack(None))
            except (HangUp, WebSocketDisconnect):
                return
        await self._close(end.code)

    async def _close(self, code: int) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.socket.close(code)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            pass

    def _in_time(self, problem: Problem | None) -> "_InTime":
        return _InTime(self.settings.frame_seconds, problem)


class _Held:
    """The bytes of one message, counted as long as it is held."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.size = 0

    def take(self, size: int) -> None:
        self.budget.take(size)
        self.size += size

    def release(self) -> None:
        self.budget.give(self.size)
        self.size = 0


class _InTime:
    """A timeout after which the connection ends."""

    def __init__(self, seconds: float, problem: Problem | None) -> None:
        self.limit = asyncio.timeout(seconds)
        self.problem = problem

    async def __aenter__(self) -> None:
        await self.limit.__aenter__()

    async def __aexit__(self, *raised: Any) -> None:
        try:
            await self.limit.__aexit__(*raised)
        except TimeoutError as error:
            raise HangUp(PROTOCOL_ERROR, self.problem) from error


def _is_id(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_ID_CHARS
