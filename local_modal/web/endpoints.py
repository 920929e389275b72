"""The front of all web endpoints: which one a request is for, whether it may come in, and what it gets."""

import asyncio
import logging
import socket
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.typedefs import Handler

from local_modal.errors import LocalModalError
from local_modal.plane import Plane
from local_modal.scheduler.exchange import Exchange
from local_modal.strangers import Strangers
from local_modal.web import address, asgi, bridge, proxy_auth, websocket
from local_modal.web.address import Endpoint
from local_modal.web.asgi import BrokenAnswerError, Place
from local_modal.web.bridge import Download, Upload
from local_modal.web.parameters import parameters
from local_modal.web.visit import RefusedError, Visits, failure

log = logging.getLogger(__name__)
MAX_QUERY_FIELDS = 1_000
KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
"""A peer that is gone without a word is noticed within a minute (s, s, count)."""


class Endpoints:
    """Answers what comes to an endpoint's address."""

    def __init__(self, plane: Plane, strangers: Strangers) -> None:
        self._plane = plane
        self._strangers = strangers
        self._settings = plane.settings
        self._visits = Visits(plane)

    @web.middleware
    async def by_host(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Requests whose Host is an endpoint's; all others go on."""
        host = request.headers.get("Host", "").partition(":")[0].lower()
        if not host.endswith(address.HOST_SUFFIX):
            return await handler(request)
        path, _, query = request.raw_path.partition("?")
        return await self._answer(request, host.removesuffix(address.HOST_SUFFIX), Place("", path, query))

    async def by_path(self, request: web.Request) -> web.StreamResponse:
        """Requests to ``/web/<address>…``."""
        path, _, query = request.raw_path.partition("?")
        name, slash, rest = path.removeprefix(address.PATH).partition("/")
        root = address.PATH + name
        return await self._answer(request, name, Place(root, f"{root}{slash or '/'}{rest}", query))

    async def _answer(self, request: web.Request, name: str, place: Place) -> web.StreamResponse:
        try:
            endpoint, params = self._admitted(request, name, place)
            self._visits.open += 1
            try:
                if request.headers.get("Upgrade", "").lower() == "websocket":
                    return await self._websocket(request, endpoint, params, place)
                return await self._http(request, endpoint, params, place)
            finally:
                self._visits.open -= 1
        except RefusedError as refused:
            return web.Response(status=refused.status, text=f"{refused.text}\n")

    def _admitted(self, request: web.Request, name: str, place: Place) -> tuple[Endpoint, bytes]:
        """The endpoint and the parameters of its class.

        Raises:
            RefusedError: it isn't there, or this request may not come in.
        """
        endpoint = self._plane.addresses.find(name)
        if endpoint is None:
            raise RefusedError(404, f"there is no web endpoint {name[:80]!r}")
        self._authorise(request, endpoint)
        params = self._parameters(endpoint, place.query)
        if self._visits.open >= self._settings.web_requests:
            raise RefusedError(503, f"{self._settings.web_requests} requests are being answered already")
        self._strangers.recognise(request.transport)
        self._watch(request)
        return endpoint, params

    def _authorise(self, request: web.Request, endpoint: Endpoint) -> None:
        if not endpoint.config.requires_proxy_auth:
            return
        given = proxy_auth.credentials(request.headers)
        if given is None:
            raise RefusedError(401, "credentials for proxy auth are missing")
        environment = self._plane.environments.get(endpoint.definition.environment)
        if environment is None or not self._plane.proxy_tokens.accepts(*given, environment.environment_id):
            raise RefusedError(401, "credentials for proxy auth are wrong")

    def _parameters(self, endpoint: Endpoint, query: str) -> bytes:
        schema = list(endpoint.definition.function.class_parameter_info.schema)
        if not schema:
            return b""
        try:
            fields = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS)
            return parameters(schema, fields)
        except LocalModalError as error:
            raise RefusedError(400, str(error)) from None
        except ValueError:
            raise RefusedError(400, f"the query is no UTF-8, or has over {MAX_QUERY_FIELDS} fields") from None

    def _watch(self, request: web.Request) -> None:
        connection = request.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE.items():
                connection.setsockopt(socket.IPPROTO_TCP, option, value)

    def _seconds(self, endpoint: Endpoint) -> float:
        """Within which an answer must begin: the time to start a container, and the function's own."""
        starting = endpoint.definition.function.startup_timeout_secs or self._settings.startup_timeout
        return self._settings.web_queue + starting + endpoint.definition.timeout

    async def _http(self, request: web.Request, endpoint: Endpoint, params: bytes, place: Place) -> web.StreamResponse:
        exchange = Exchange()
        upload = Upload(request, exchange, self._settings)
        complete = await upload.begin()
        scope = asgi.scope_of(request, place, "http", self._scheme, self._server)
        visit = self._visits.begin(endpoint, params, asgi.input_of(scope, endpoint.method), exchange)
        download = Download(request, visit, self._settings)
        answering = asyncio.create_task(download.all(self._seconds(endpoint)))
        uploading = None if complete else asyncio.create_task(upload.go_on())
        answered = False
        try:
            if uploading is not None:
                await asyncio.wait([answering, uploading], return_when=asyncio.FIRST_COMPLETED)
                if uploading.done() and not answering.done():
                    uploading.result()
            response = await answering
            answered = True
        except BrokenAnswerError as broken:
            log.warning("web endpoint %s %s", endpoint.label, broken)
            exchange.fault = exchange.fault or str(broken)
            return self._broken_off(request, download, failure(exchange))
        except RefusedError as refused:
            return self._broken_off(request, download, refused)
        except ConnectionError:
            return self._broken_off(request, download, RefusedError(499, "the client has left"))
        else:
            return response
        finally:
            answering.cancel()
            if uploading is not None:
                uploading.cancel()
                uploading.add_done_callback(lambda done: done.cancelled() or done.exception())
            exchange.send_now(bridge.DISCONNECT)
            self._visits.end(visit, cancel=not answered)

    def _broken_off(self, request: web.Request, download: Download, refused: RefusedError) -> web.StreamResponse:
        """An answer that has begun can't become another: the client sees that it is cut short."""
        if not download.begun:
            raise refused
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=refused.status)

    async def _websocket(
        self, request: web.Request, endpoint: Endpoint, params: bytes, place: Place
    ) -> web.StreamResponse:
        if not web.WebSocketResponse().can_prepare(request).ok:
            raise RefusedError(400, "this is no WebSocket handshake")
        exchange = Exchange()
        scope = asgi.scope_of(request, place, "websocket", self._scheme.replace("http", "ws"), self._server)
        exchange.send_now(websocket.CONNECT)
        visit = self._visits.begin(endpoint, params, asgi.input_of(scope, endpoint.method), exchange)
        connection = websocket.Connection(request, visit, self._settings, scope["subprotocols"])
        try:
            opened = await connection.accept(self._seconds(endpoint))
            await connection.run()
        except BrokenAnswerError as broken:
            log.warning("web endpoint %s %s", endpoint.label, broken)
            exchange.fault = exchange.fault or str(broken)
            raise failure(exchange) from None
        else:
            return opened
        finally:
            websocket.left(exchange, None)
            self._visits.end(visit, cancel=True)

    @property
    def _scheme(self) -> str:
        return (self._settings.advertised_url or self._settings.url).partition(":")[0]

    @property
    def _server(self) -> tuple[str, int]:
        return self._settings.bind, self._settings.port
