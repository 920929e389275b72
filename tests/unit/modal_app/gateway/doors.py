"""Both doors on a port of this machine, with the sandbox's own runner where a container would be."""

import asyncio
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import cbor2
import uvicorn
from starlette.types import Receive, Scope, Send

from modal_app.gateway.app import http_app, websocket_app
from modal_app.gateway.endpoint import Endpoint
from modal_app.gateway.requests import Work
from modal_app.gateway.service import Service
from modal_app.sandbox.wire.runner import execute_wire
from modal_app.settings import Limits, WebSettings

with warnings.catch_warnings():  # uvicorn's own, about the library of that name
    warnings.simplefilter("ignore")
    import uvicorn.protocols.websockets.websockets_impl

Answering = Callable[[Work, Limits], bytes]


def sandbox(work: Work, limits: Limits) -> bytes:
    """What a container answers, as Modal carries it."""
    return cbor2.dumps(execute_wire(work.request(limits)))


@dataclass
class InProcess:
    """Runs work here, off the event loop, and remembers whose it was."""

    answering: Answering = sandbox
    workspaces: list[str] = field(default_factory=list)
    turn: threading.Lock = field(default_factory=threading.Lock)

    async def run(self, work: Work, limits: Limits, seconds: float) -> bytes:  # noqa: ARG002 - the service's own limit
        self.workspaces.append(work.workspace_id)
        return await asyncio.to_thread(self._answer, work, limits)

    def _answer(self, work: Work, limits: Limits) -> bytes:
        with self.turn:  # the runner replaces the process's stdout
            return self.answering(work, limits)


@dataclass
class Doors:
    """A running server of both."""

    port: int
    runner: InProcess
    service: Service
    endpoint: Endpoint

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


DEFAULTS = WebSettings()


@contextmanager
def doors(settings: WebSettings = DEFAULTS, answering: Answering = sandbox, seconds: float = 60) -> Iterator[Doors]:
    """Opens both doors, till the end of the block."""
    runner = InProcess(answering)
    service = Service(runner, settings)
    endpoint = Endpoint(service, seconds)
    http, websocket = http_app(service), websocket_app(endpoint)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (websocket if scope["type"] == "websocket" else http)(scope, receive, send)

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", ws="websockets", lifespan="off", ws_max_size=2 * 1024 * 1024)
    server = uvicorn.Server(config)
    config.load()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Doors(listening.getsockname()[1], runner, service, endpoint)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
