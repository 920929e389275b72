"""The door in the sandbox itself: one WebSocket connection, whose blocks keep their state as long as it lasts.

Blocks run one after another in a thread, so that heartbeats are answered meanwhile. A block that overruns its limit is
answered for, the connection closed, and the container ended: by a timer of the C runtime, which code that never
returns to Python doesn't hold up.
"""

import asyncio
import faulthandler
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import cbor2
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from modal_app.gateway.app import deny
from modal_app.gateway.endpoint import Endpoint
from modal_app.gateway.problems import Problem
from modal_app.gateway.requests import Work
from modal_app.gateway.serve import own_settings
from modal_app.gateway.service import Service
from modal_app.gateway.websocket import Connection
from modal_app.gateway.workspace import checked, workspace_of
from modal_app.sandbox.randomness import reseed
from modal_app.sandbox.wire.block import WireBlock
from modal_app.sandbox.wire.runner import execute_wire
from modal_app.settings import Limits

END_SECONDS = 5
"""What is left for answering and closing when a block has overrun its limit."""
OK = 200
STDERR = 2


class SessionRunner:
    """Runs the blocks of one connection; code that comes again finds its module as it left it."""

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self.overrun = False
        self._blocks: dict[tuple[str, ...], WireBlock] = {}
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="block", initializer=reseed)

    async def run(self, work: Work, limits: Limits, seconds: float) -> bytes:  # noqa: ARG002 - a block's own limit holds
        """As `Runner.run`."""
        async with self._turn:
            if self.overrun:
                raise Problem("SessionEnded", "a block of this session overran its limit", 503)
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._thread, self._execute, work, limits)
            try:
                return await asyncio.wait_for(asyncio.shield(running), self.timeout_seconds)
            except TimeoutError:
                self.overrun = True
                text = f"the block exceeded the limit of {self.timeout_seconds:g} s; the session ends"
                raise Problem("TimeoutError", text, OK) from None

    def _execute(self, work: Work, limits: Limits) -> bytes:
        faulthandler.dump_traceback_later(self.timeout_seconds + END_SECONDS, exit=True, file=STDERR)
        try:
            return cbor2.dumps(execute_wire(work.request(limits), self._load))
        finally:
            if not self.overrun:
                faulthandler.cancel_dump_traceback_later()

    def _load(self, code: PythonCode, block_type: str) -> WireBlock:
        key = (code.run_function_code, *code.imports)
        if key not in self._blocks:
            self._blocks[key] = WireBlock(code, block_type)
        return self._blocks[key]


def session_app(workspace_id: str, environ: Mapping[str, str]) -> Starlette:
    """The app of a container that Modal started for `workspace_id`; it serves the one connection that it gets."""
    web, app = own_settings(environ)

    async def serve(socket: WebSocket) -> None:
        try:
            workspace = _workspace(socket, workspace_id, anonymous=web.anonymous == "allow")
        except Problem as problem:
            await deny(socket, problem)
            return
        runner = SessionRunner(app.timeout_seconds)
        endpoint = Endpoint(Service(runner, web), web.session_seconds, over=lambda: runner.overrun)
        await Connection(socket, workspace, endpoint, web.session_seconds).serve()

    return Starlette(routes=[WebSocketRoute("/ws", serve)])


def _workspace(socket: WebSocket, workspace_id: str, *, anonymous: bool) -> str:
    workspace = workspace_of(socket.scope["query_string"], anonymous=anonymous)
    if workspace != checked(workspace_id, anonymous=anonymous):
        raise Problem("InvalidWorkspace", "the URL and the container name different workspaces", 400)
    return workspace
