"""The HTTP door: one POST is one run of a block, JSON in and out, gzip or not; answered before the client gives up.

An answer with status 200 is the block's, or one that the client acts on; with any other, one line of plain text that
the client shows to its user (`_post_execute` in modal_executor.py).
"""

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from modal_app.gateway.answers import Answer, problem_answer
from modal_app.gateway.problems import Problem, bad_request
from modal_app.gateway.requests import read_work
from modal_app.gateway.service import Budget, Service
from modal_app.gateway.workspace import workspace_of

OK = 200
GZIP = 16 + zlib.MAX_WBITS
PIECE_BYTES = 1024 * 1024
MIN_SECONDS = 0.1


class HttpDoor:
    """Answers requests of one container."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def respond(self, request: Request) -> Response:
        """The answer to a POST, whatever it holds."""
        started = time.monotonic()
        try:
            answer = await self._answer(request, started + self.service.settings.answer_seconds)
        except Problem as problem:
            if problem.status != OK:
                return PlainTextResponse(f"{problem.error_type}: {problem.message}", problem.status)
            answer = problem_answer(problem)
        except ClientDisconnect:
            return PlainTextResponse("the client left", 400)
        return Response(answer.as_json(), media_type="application/json")

    async def _answer(self, request: Request, deadline: float) -> Answer:
        settings = self.service.settings
        workspace_id = workspace_of(request.scope["query_string"], anonymous=settings.anonymous == "allow")
        body = _Body(self.service.budget, settings.request_bytes, request.headers.get("content-encoding"))
        try:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await body.read(request.stream())
            except TimeoutError as error:
                raise Problem("RequestTimeout", "the request didn't arrive in time", 408) from error
            fields = _parse(bytes(body.data))
            work = read_work(workspace_id, fields, _inputs(fields), self.service.codes)
            return await self.service.answer(work, max(MIN_SECONDS, deadline - time.monotonic()))
        finally:
            body.release()


class _Body:
    """A request's body, unpacked while it arrives, so that neither it nor what it unpacks to exceeds a limit."""

    def __init__(self, budget: Budget, limit: int, encoding: str | None) -> None:
        self.budget = budget
        self.limit = limit
        self.data = bytearray()
        self.encoding = (encoding or "identity").strip().lower()
        self._gzip = zlib.decompressobj(GZIP) if self.encoding == "gzip" else None

    async def read(self, pieces: AsyncIterator[bytes]) -> None:
        """Reads it to its end.

        Raises:
            Problem: it is too large, cut short, or not what its headers say.
        """
        if self.encoding not in ("gzip", "identity"):
            raise bad_request("the body's encoding is neither gzip nor none", 415)
        async for piece in pieces:
            if self._gzip is None:
                self._keep(piece)
            else:
                self._unpack(self._gzip, piece)
        if self._gzip is not None and not self._gzip.eof:
            raise bad_request("the gzip body is cut short")

    def release(self) -> None:
        """Gives the memory back."""
        self.budget.give(len(self.data))
        self.data = bytearray()

    def _unpack(self, gzip: Any, piece: bytes) -> None:
        try:
            while piece:
                self._keep(gzip.decompress(piece, PIECE_BYTES))
                if gzip.eof:
                    break
                piece = gzip.unconsumed_tail
        except zlib.error as error:
            raise bad_request("the body is not gzip") from error
        if gzip.eof and gzip.unused_data:
            raise bad_request("something follows the gzip body")

    def _keep(self, piece: bytes) -> None:
        if len(self.data) + len(piece) > self.limit:
            raise Problem("RequestTooLarge", f"the request has more than {self.limit:,} bytes", 413)
        self.budget.take(len(piece))
        self.data += piece


def _parse(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request("the body is not JSON") from error
    if type(fields) is not dict:
        raise bad_request("the body is not a JSON object")
    return fields


def _inputs(fields: dict[str, Any]) -> str:
    inputs = fields.get("inputs_json")
    if type(inputs) is not str:
        raise bad_request("inputs_json is not a text")
    return inputs
