"""One WebSocket connection: one call that lasts as long as it does."""

import asyncio
from contextlib import suppress

from aiohttp import WSMsgType, web
from modal_proto import api_pb2

from local_modal.scheduler.calls import RESTARTED
from local_modal.scheduler.exchange import Exchange
from local_modal.scheduler.pool import STOPPED
from local_modal.scheduler.results import Result
from local_modal.settings import MIB, Settings
from local_modal.web import asgi
from local_modal.web.asgi import BrokenAnswerError
from local_modal.web.visit import RefusedError, Visit, failure

CONNECT = api_pb2.Asgi(websocket_connect=api_pb2.Asgi.WebsocketConnect())
CLOSE_SECONDS = 5.0
"""How long a client may take to answer a close frame (s)."""
NO_CLOSE_FRAME = 1006
NORMAL, GOING_AWAY, FAILED, RESTART = 1000, 1001, 1011, 1012


class Connection:
    """Between a client and a container, from the handshake to the end of either side."""

    def __init__(self, request: web.Request, visit: Visit, settings: Settings, offered: list[str]) -> None:
        """`offered`: the subprotocols that the client knows."""
        self._request = request
        self._exchange = visit.exchange
        self._settings = settings
        self._offered = offered
        self._socket = web.WebSocketResponse()

    async def accept(self, seconds: float) -> web.WebSocketResponse:
        """The handshake, when the application accepts the connection.

        Raises:
            RefusedError: it doesn't, or not within so many seconds.
            BrokenAnswerError: what came is no answer.
        """
        try:
            first = await asyncio.wait_for(self._exchange.receive(), seconds)
        except TimeoutError:
            raise RefusedError(504, f"the endpoint did not accept the connection within {seconds:g} s") from None
        if first is None:
            raise failure(self._exchange)
        found = asgi.event(first, "websocket_accept", "websocket_close", "http_response_start")
        if found.WhichOneof("type") != "websocket_accept":
            raise RefusedError(403, "the endpoint refused the connection")
        accepted = found.websocket_accept
        if accepted.HasField("subprotocol") and accepted.subprotocol not in self._offered:
            raise BrokenAnswerError("chose a subprotocol that wasn't offered")
        self._socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS,
            autoclose=True,
            protocols=[accepted.subprotocol] if accepted.HasField("subprotocol") else [],
            compress=False,
            max_msg_size=self._settings.web_message_mib * MIB + 1,
        )
        for name, value in asgi.response_headers(accepted.headers).items():
            if not name.lower().startswith("sec-websocket-") and name.lower() != "content-length":
                self._socket.headers.add(name, value)
        await self._socket.prepare(self._request)
        return self._socket

    async def run(self) -> None:
        """Messages both ways until either side ends; the container is told of a client that has left."""
        received, sent = asyncio.create_task(self._receive()), asyncio.create_task(self._send())
        try:
            await asyncio.wait([received, sent], return_when=asyncio.FIRST_COMPLETED)
            if sent.done() and (closing := sent.result()):
                received.cancel()
                with suppress(asyncio.CancelledError):
                    await received
                await self._socket.close(code=closing[0], message=closing[1])
        finally:
            received.cancel()
            sent.cancel()
            await asyncio.gather(received, sent, return_exceptions=True)
            left(self._exchange, self._socket.close_code)

    async def _receive(self) -> None:
        """The client's messages; ends with the connection."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.TEXT:
                given = api_pb2.Asgi.WebsocketReceive(text=message.data)
            elif message.type is WSMsgType.BINARY:
                given = api_pb2.Asgi.WebsocketReceive(bytes=message.data)
            else:
                return
            await self._exchange.send(api_pb2.Asgi(websocket_receive=given))

    async def _send(self) -> tuple[int, bytes] | None:
        """The container's messages; with what to close the connection, or None where the client is gone."""
        try:
            while (data := await self._exchange.receive()) is not None:
                found = asgi.event(data, "websocket_send", "websocket_close")
                if found.WhichOneof("type") == "websocket_close":
                    close = found.websocket_close
                    code = close.code if close.HasField("code") else NORMAL
                    return asgi.close_code(code), asgi.close_reason(close.reason)
                message = found.websocket_send
                if message.HasField("bytes"):
                    step = self._socket.send_bytes(message.bytes)
                else:
                    step = self._socket.send_str(message.text)
                await asyncio.wait_for(step, self._settings.web_idle)
        except BrokenAnswerError as broken:
            self._exchange.fault = str(broken)
            return FAILED, b"the endpoint's answer was none"
        except (ConnectionError, TimeoutError):
            if self._request.transport is not None:
                self._request.transport.abort()
            return None
        return _ending(self._exchange)


def left(exchange: Exchange, code: int | None) -> None:
    """Tell the container that the client has left."""
    gone = api_pb2.Asgi.WebsocketDisconnect(code=code or NO_CLOSE_FRAME)
    exchange.send_now(api_pb2.Asgi(websocket_disconnect=gone))


def _ending(exchange: Exchange) -> tuple[int, bytes]:
    """With what a connection is closed whose call has ended without closing it."""
    result = exchange.result or Result()
    if result.status == Result.GENERIC_STATUS_SUCCESS:
        return NORMAL, b""
    code = {RESTARTED: RESTART, STOPPED: GOING_AWAY}.get(result.exception, FAILED)
    return code, asgi.close_reason(failure(exchange).text)
