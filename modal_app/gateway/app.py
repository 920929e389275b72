"""The doors as web apps: one for HTTP, one for WebSocket, as the released client addresses them."""

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from modal_app.gateway.endpoint import Endpoint
from modal_app.gateway.http import HttpDoor
from modal_app.gateway.problems import Problem
from modal_app.gateway.service import Service
from modal_app.gateway.websocket import Connection
from modal_app.gateway.workspace import workspace_of

POLICY = 1008


def http_app(service: Service) -> Starlette:
    """`execute-block`."""
    return Starlette(routes=[Route("/", HttpDoor(service).respond, methods=["POST"])])


def websocket_app(endpoint: Endpoint) -> Starlette:
    """`wsapp`."""

    async def serve(socket: WebSocket) -> None:
        settings = endpoint.service.settings
        try:
            workspace = workspace_of(socket.scope["query_string"], anonymous=settings.anonymous == "allow")
        except Problem as problem:
            await deny(socket, problem)
            return
        await Connection(socket, workspace, endpoint, settings.connection_seconds).serve()

    return Starlette(routes=[WebSocketRoute("/ws", serve)])


async def deny(socket: WebSocket, problem: Problem) -> None:
    """Refuses a connection before it is one: with a status and a text, where the server can say them."""
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(PlainTextResponse(f"{problem.error_type}: {problem.message}", problem.status))
    else:
        await socket.close(POLICY)
