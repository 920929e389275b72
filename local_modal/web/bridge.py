"""One HTTP request: its body to the container as it comes, the container's answer to the client as it comes."""

import asyncio
from collections.abc import Awaitable

from aiohttp import web
from modal_proto import api_pb2

from local_modal.scheduler.exchange import Exchange
from local_modal.settings import MIB, Settings
from local_modal.web import asgi
from local_modal.web.asgi import BrokenAnswerError
from local_modal.web.visit import RefusedError, Visit, failure

FIRST_CHUNK_SECONDS = 1.0
"""How long the body's first bytes are waited for; Modal's container waits 5 s for an event, which may be empty (s)."""
BODILESS = frozenset({204, 304})
"""Statuses whose answers end with their headers; what an application adds to one would be read as the next answer."""
DISCONNECT = api_pb2.Asgi(http_disconnect=api_pb2.Asgi.HttpDisconnect())


class Upload:
    """A request's body on its way to the container."""

    def __init__(self, request: web.BaseRequest, exchange: Exchange, settings: Settings) -> None:
        """Raises RefusedError where the request says itself that its body is too large."""
        self._content = request.content
        self._exchange = exchange
        self._settings = settings
        self._left = settings.web_request_mib * MIB
        if (request.content_length or 0) > self._left:
            raise self._too_large()

    async def begin(self) -> bool:
        """The first event, whether or not there are bytes yet; whether it was the last."""
        try:
            first = await asyncio.wait_for(self._content.readany(), FIRST_CHUNK_SECONDS)
        except TimeoutError:
            first = b""
        return await self._send(first)

    async def go_on(self) -> None:
        """All further ones.

        Raises:
            RefusedError: nothing came for too long, or too much.
        """
        ended = False
        while not ended:
            try:
                data = await asyncio.wait_for(self._content.readany(), self._settings.web_idle)
            except TimeoutError:
                raise RefusedError(408, f"nothing of the body came for {self._settings.web_idle:g} s") from None
            ended = await self._send(data)

    async def _send(self, data: bytes) -> bool:
        self._left -= len(data)
        if self._left < 0:
            raise self._too_large()
        ended = self._content.at_eof()
        body = api_pb2.Asgi.HttpRequest(body=data, more_body=not ended)
        await self._exchange.send(api_pb2.Asgi(http_request=body))
        return ended

    def _too_large(self) -> RefusedError:
        return RefusedError(413, f"the body is over {self._settings.web_request_mib} MiB")


class Download:
    """The container's answer on its way to the client."""

    def __init__(self, request: web.BaseRequest, visit: Visit, settings: Settings) -> None:
        self._request = request
        self._exchange = visit.exchange
        self._settings = settings
        self._response: web.StreamResponse | None = None
        self._left = settings.web_response_mib * MIB
        self._due: int | None = None
        self._silent = False

    @property
    def begun(self) -> bool:
        """Whether the client has anything of the answer: then it can only be broken off."""
        return self._response is not None

    async def all(self, seconds: float) -> web.StreamResponse:
        """The whole answer, sent; its beginning within so many seconds.

        Raises:
            RefusedError: there is none.
            BrokenAnswerError: what came is none.
        """
        try:
            first = await asyncio.wait_for(self._exchange.receive(), seconds)
        except TimeoutError:
            raise RefusedError(504, f"the endpoint did not begin to answer within {seconds:g} s") from None
        if first is None:
            raise failure(self._exchange)
        status, headers = asgi.response_head(asgi.event(first, "http_response_start").http_response_start)
        if status in BODILESS:
            headers.popall("Content-Length", None)
        early = self._exchange.taken()
        body = self._body(early) if early is not None else None
        length = headers.get("Content-Length")
        if length is None and body is not None and not body.more_body and status not in BODILESS:
            headers["Content-Length"] = length = str(len(body.body))
        self._silent = self._request.method == "HEAD" or status in BODILESS
        self._due = int(length) if length is not None and not self._silent else None
        self._response = web.StreamResponse(status=status, headers=headers)
        await self._in_time(self._response.prepare(self._request))
        while True:
            if body is not None:
                await self._write(body.body)
                if not body.more_body:
                    break
            data = await self._exchange.receive()
            if data is None:
                raise BrokenAnswerError("ended in the middle of its answer")
            body = self._body(data)
        if self._due:
            raise BrokenAnswerError(f"answered with {self._due} bytes less than it announced")
        await self._in_time(self._response.write_eof())
        return self._response

    def _body(self, data: bytes) -> api_pb2.Asgi.HttpResponseBody:
        return asgi.event(data, "http_response_body").http_response_body

    async def _write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise BrokenAnswerError(f"answered with more than {self._settings.web_response_mib} MiB")
        if self._due is not None:
            self._due -= len(data)
            if self._due < 0:
                raise BrokenAnswerError("answered with more bytes than it announced")
        if data and self._response is not None and not self._silent:
            await self._in_time(self._response.write(data))

    async def _in_time(self, step: Awaitable[object]) -> None:
        """A client that takes nothing for too long has left."""
        try:
            await asyncio.wait_for(step, self._settings.web_idle)
        except TimeoutError:
            raise ConnectionResetError("the client takes nothing") from None
