"""A guest app and the few RPCs that Modal's entrypoint needs, over a socketpair: real containers, no control plane."""

import asyncio
import contextlib
import itertools
import json
import os
import pickle
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
import grpclib.const
import grpclib.server
import pytest
from google.protobuf import empty_pb2
from modal_proto import api_pb2

from local_modal.runtime.container import Container
from local_modal.runtime.policy import Limits
from local_modal.runtime.zygote import Bind, LaunchSpec, Streams, Zygote, launch_direct

GUEST = """
import json, os, random, sys, traceback, uuid
import modal

app = modal.App("guest")
COUNT = [0]
HOOK = os.environ.get("GUEST_HOOK", "")
if HOOK == "import-error":
    raise ImportError("no such thing in this image")

@app.cls(enable_memory_snapshot=True, single_use_containers=True)
class Guest:
    workspace_id: str = modal.parameter()

    @modal.enter(snap=True)
    def warm(self):
        self.warm_pid = os.getpid()
        if HOOK == "reads-parameter":
            self.seen = self.workspace_id
        elif HOOK == "looks-around":
            self.processes = [name for name in os.listdir("/proc") if name.isdigit()]
            self.files = os.listdir("/scratch")
            with open("/scratch/" + self.workspace_id, "w"): pass
            self.namespaces = {name: os.readlink("/proc/self/ns/" + name) for name in os.listdir("/proc/self/ns")}
        elif HOOK == "fails-for-acme" and self.workspace_id == "acme":
            raise ValueError("not for acme")
        elif HOOK == "hangs":
            import time
            while True:
                time.sleep(1)
        elif HOOK == "leaves-a-file-open":
            self.file = open("/scratch/of-the-zygote", "w+")
        elif HOOK == "remounts":
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            flags = 32 | 4096  # MS_REMOUNT | MS_BIND, without MS_RDONLY
            self.remounted = {}
            for target in ("/", "/root/guest.py", "/usr/lib", sys.prefix):
                failed = libc.mount(None, target.encode(), None, ctypes.c_ulong(flags), None)
                self.remounted[target] = ctypes.get_errno() if failed else 0
        elif HOOK == "starts-threads":
            import threading, time
            threading.Thread(target=time.sleep, args=(3600,), name="user-thread", daemon=True).start()

    @modal.enter(snap=False)
    def after(self):
        self.at_enter = self.workspace_id

    @modal.method()
    def run(self, code):
        space = {"self": self, "COUNT": COUNT}
        try:
            exec(code, space)
        except BaseException as error:
            return json.dumps({"error": f"{type(error).__name__}: {error}"})
        return json.dumps({"result": space.get("result")})
"""

SERVICE = api_pb2.DESCRIPTOR.services_by_name["ModalClient"]


class Plane:
    """Answers the RPCs of one container; keeps what it said."""

    def __init__(self, code: str = "") -> None:
        self.code = code
        self.calls: list[str] = []
        self.times: dict[str, float] = {}
        self.function_id = ""
        self.output: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.task_result: api_pb2.GenericResult | None = None
        self._server = grpclib.server.Server([self])
        self._transport: asyncio.Transport | None = None

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        handlers = {}
        for method in SERVICE.methods:
            answer = getattr(self, method.name, None)
            if answer is not None:
                handlers[f"/{SERVICE.full_name}/{method.name}"] = grpclib.const.Handler(
                    self._handler(method.name, answer),
                    grpclib.const.Cardinality.UNARY_UNARY,
                    _message(method.input_type),
                    _message(method.output_type),
                )
        return handlers

    def _handler(self, name: str, answer: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[None]]:
        async def handle(stream: Any) -> None:
            request = await stream.recv_message()
            self.calls.append(name)
            self.times[name] = time.perf_counter()
            await stream.send_message(await answer(request))

        return handle

    async def serve(self, end: socket.socket) -> None:
        end.setblocking(False)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_accepted_socket(self._server._protocol_factory, end)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        for handler in self._server._handlers:
            handler.close()
            await handler.wait_closed()

    async def ContainerHello(self, _: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    async def ContainerHeartbeat(self, _: Any) -> api_pb2.ContainerHeartbeatResponse:
        await asyncio.sleep(10)
        return api_pb2.ContainerHeartbeatResponse()

    async def ContainerCheckpoint(self, _: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    async def TaskResult(self, request: api_pb2.TaskResultRequest) -> empty_pb2.Empty:
        self.task_result = request.result
        return empty_pb2.Empty()

    async def FunctionGetInputs(self, request: api_pb2.FunctionGetInputsRequest) -> api_pb2.FunctionGetInputsResponse:
        self.function_id = request.function_id
        entry = api_pb2.FunctionInput(
            args=pickle.dumps(((self.code,), {})), data_format=api_pb2.DATA_FORMAT_PICKLE, method_name="run"
        )
        item = api_pb2.FunctionGetInputsItem(input_id="in-1", input=entry, function_call_id="fc-1")
        return api_pb2.FunctionGetInputsResponse(inputs=[item])

    async def FunctionPutOutputs(self, request: api_pb2.FunctionPutOutputsRequest) -> empty_pb2.Empty:
        output = request.outputs[0]
        if output.result.status != api_pb2.GenericResult.GENERIC_STATUS_SUCCESS:
            self.output.set_result({"error": output.result.exception})
        else:
            self.output.set_result(json.loads(cbor2.loads(output.result.data)))
        return empty_pb2.Empty()


def _message(descriptor: Any) -> Any:
    return empty_pb2.Empty if descriptor.name == "Empty" else getattr(api_pb2, descriptor.name)


def arguments(params: dict[str, str] | None = None, *, snapshot: bool = True) -> bytes:
    parameters = api_pb2.ClassParameterInfo(
        format=api_pb2.ClassParameterInfo.PARAM_SERIALIZATION_FORMAT_PROTO,
        schema=[
            api_pb2.ClassParameterSpec(
                name="workspace_id",
                type=api_pb2.PARAM_TYPE_STRING,
                full_type=api_pb2.GenericPayloadType(base_type=api_pb2.PARAM_TYPE_STRING),
            )
        ],
    )
    method = api_pb2.MethodDefinition(
        function_name="Guest.run",
        function_type=api_pb2.Function.FUNCTION_TYPE_FUNCTION,
        supported_output_formats=[api_pb2.DATA_FORMAT_CBOR],
    )
    function = api_pb2.Function(
        module_name="guest",
        function_name="Guest.*",
        implementation_name="Guest.*",
        function_type=api_pb2.Function.FUNCTION_TYPE_FUNCTION,
        is_class=True,
        is_checkpointing_function=snapshot,
        single_use_containers=True,
        method_definitions={"run": method},
        class_parameter_info=parameters,
        object_dependencies=[api_pb2.ObjectDependency(object_id="im-1")],
    )
    handle = api_pb2.FunctionHandleMetadata(
        function_name="Guest.*",
        class_parameter_info=parameters,
        method_handle_metadata={
            "run": api_pb2.FunctionHandleMetadata(function_name="Guest.run", use_method_name="run", is_method=True)
        },
    )
    layout = api_pb2.AppLayout(
        objects=[
            api_pb2.Object(object_id="fu-1", function_handle_metadata=handle),
            api_pb2.Object(object_id="cs-1", class_handle_metadata=api_pb2.ClassHandleMetadata()),
            api_pb2.Object(object_id="im-1"),
        ],
        function_ids={"Guest.*": "fu-1"},
        class_ids={"Guest": "cs-1"},
    )
    return api_pb2.ContainerArguments(
        task_id="ta-zygote",
        function_id="fu-1",
        app_id="ap-1",
        function_def=function,
        serialized_params=serialized(params) if params else b"",
        checkpoint_id="cp-1" if snapshot else None,
        app_layout=layout,
        environment_name="main",
    ).SerializeToString()


def serialized(params: dict[str, str]) -> bytes:
    return api_pb2.ClassParameterSet(
        parameters=[
            api_pb2.ClassParameterValue(name=name, type=api_pb2.PARAM_TYPE_STRING, string_value=value)
            for name, value in params.items()
        ]
    ).SerializeToString()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


@dataclass
class Run:
    """One container's run as a test sees it."""

    container: Container
    plane: Plane

    async def answer(self, timeout: float = 20) -> dict[str, Any]:
        either: list[asyncio.Future[Any]] = [self.plane.output, self.container.exited]
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if self.plane.output.done():
            return self.plane.output.result()
        assert self.container.exited.done(), "neither an output nor an exit in time"
        return {"ended": str(self.container.exited.result())}


@dataclass
class Host:
    """Starts guests and cleans up after them."""

    folder: Path
    zygotes: list[Zygote] = field(default_factory=list)
    planes: list[Plane] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    kept: dict[Any, Zygote] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        (self.folder / "guest.py").write_text(GUEST)
        self.log = self.folder / "log"
        log_fd = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._streams = Streams(log_fd, log_fd)

    def spec(self, **changes: Any) -> LaunchSpec:
        env = {"PYTHONPATH": "/root", **changes.pop("env", {})}
        values: dict[str, Any] = {
            "python": Path(sys.executable),
            "read_only": (Path(sys.prefix),),
            "binds": (Bind(self.folder / "guest.py", "/root/guest.py"),),
            "env": env,
            "container_arguments": arguments(changes.pop("params", None), snapshot=changes.get("snapshot", True)),
            "snapshot": True,
            "hide_params": True,
            "limits": Limits(),
        }
        return LaunchSpec(**(values | changes))

    async def zygote(self, spec: LaunchSpec | None = None, *, wait: bool = True) -> Zygote:
        ours, theirs = socket_pair()
        plane = Plane()
        self.planes.append(plane)
        await plane.serve(ours)
        with theirs:
            zygote = await Zygote.start(spec or self.spec(), theirs, self._streams, self.folder)
        self.zygotes.append(zygote)
        if wait:
            await asyncio.wait_for(zygote.ready(), 60)
        return zygote

    async def branch(self, stem: Zygote, workspace: str) -> Zygote:
        ours, theirs = socket_pair()
        plane = Plane()
        self.planes.append(plane)
        await plane.serve(ours)
        name = f"ta-{next(self._numbers)}"
        state = {"task_id": name, "function_id": "fu-bound"}
        params = serialized({"workspace_id": workspace})
        with theirs:
            zygote = await stem.branch(name, theirs, self._streams, state, params)
        self.zygotes.insert(0, zygote)
        return zygote

    async def fork(self, zygote: Zygote, code: str, task_id: str | None = None) -> Run:
        ours, theirs = socket_pair()
        plane = Plane(code)
        self.planes.append(plane)
        await plane.serve(ours)
        name = task_id or f"ta-{next(self._numbers)}"
        with theirs:
            container = await zygote.fork(name, theirs, self._streams, {"task_id": name, "function_id": "fu-1"})
        run = Run(container, plane)
        self.runs.append(run)
        return run

    async def run(self, zygote: Zygote, code: str, workspace: str = "ws", timeout: float = 20) -> dict[str, Any]:
        run = await self.fork(zygote, code)
        run.container.assign("fu-bound", serialized({"workspace_id": workspace}))
        return await run.answer(timeout)

    async def direct(self, code: str, spec: LaunchSpec) -> Run:
        ours, theirs = socket_pair()
        plane = Plane(code)
        self.planes.append(plane)
        await plane.serve(ours)
        with theirs:
            container = await launch_direct(spec, "ta-direct", theirs, self._streams, self.folder)
        run = Run(container, plane)
        self.runs.append(run)
        return run

    def processes(self, zygote: Zygote) -> list[int]:
        """Descriptors (pidfds) of the whole tree of a zygote, as it is now."""
        found: list[int] = []
        for pid in tree_of(zygote):
            with contextlib.suppress(OSError):
                found.append(os.pidfd_open(pid))
        return found

    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    async def close(self) -> None:
        for run in self.runs:
            run.container.kill()
            await run.container.exited
        for zygote in self.zygotes:
            await zygote.close()
        for plane in self.planes:
            with contextlib.suppress(asyncio.CancelledError):
                await plane.close()
        os.close(self._streams.stdout)


def tree_of(zygote: Zygote) -> list[int]:
    """Process ids: the one outside, pid 1 of the zygote's namespace, those at the snapshot point, containers."""
    found = [zygote.pid]
    for pid in found:
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return found


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def gone(pidfds: list[int], timeout: float = 10) -> bool:
    """Whether all these processes end in time."""
    loop = asyncio.get_running_loop()
    ended = []
    for pidfd in pidfds:
        future = loop.create_future()
        loop.add_reader(pidfd, _resolve, future)
        ended.append(future)
    _, pending = await asyncio.wait(ended, timeout=timeout)
    for pidfd in pidfds:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    return not pending


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    made = Host(tmp_path)
    yield made
    await made.close()
