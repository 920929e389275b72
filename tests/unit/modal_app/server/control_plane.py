"""A control plane that answers what calling a function takes, in Modal's protocol, with outputs that tests choose.

The client is the real one, through a real socket. A "container" is a function from the pickled input to the output that
it puts; `sandbox` is one that runs the real sandbox code, `forged` ones send what a hostile container may send.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cbor2
from grpclib import GRPCError, Status
from grpclib.server import Server
from modal._serialization import deserialize
from modal_proto import api_grpc, api_pb2

from modal_app.sandbox.runner import execute, validate

CBOR, PICKLE = api_pb2.DATA_FORMAT_CBOR, api_pb2.DATA_FORMAT_PICKLE
SUCCESS, FAILURE = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS, api_pb2.GenericResult.GENERIC_STATUS_FAILURE
METHODS = {"execute": execute, "validate": validate}

Output = api_pb2.FunctionGetOutputsItem
Container = Callable[[api_pb2.FunctionInput], Output]


def output(status: int = SUCCESS, data_format: int = CBOR, **result: Any) -> Output:
    """An output; `result` are fields of GenericResult."""
    generic = api_pb2.GenericResult(status=status, **result)  # type: ignore[arg-type]
    return Output(result=generic, data_format=data_format)  # type: ignore[arg-type]


def sandbox(function_input: api_pb2.FunctionInput) -> Output:
    """Runs the sandbox's own code on the input, in this process."""
    (request,), _ = deserialize(function_input.args, None)
    return output(data=cbor2.dumps(METHODS[function_input.method_name](request)))


def forged(item: Output) -> Container:
    """A container that answers `item` to anything."""
    return lambda _: item


def handle() -> api_pb2.FunctionHandleMetadata:
    """Metadata of a class with the app's two methods and its parameter, as a deploy registers them."""
    parameter = api_pb2.ClassParameterSpec(name="workspace_id", type=api_pb2.PARAM_TYPE_STRING)
    parameter.full_type.base_type = api_pb2.PARAM_TYPE_STRING
    return api_pb2.FunctionHandleMetadata(
        function_name="Executor.*",
        function_type=api_pb2.Function.FUNCTION_TYPE_FUNCTION,
        is_method=True,
        class_parameter_info=api_pb2.ClassParameterInfo(
            format=api_pb2.ClassParameterInfo.PARAM_SERIALIZATION_FORMAT_PROTO, schema=[parameter]
        ),
        method_handle_metadata={
            name: api_pb2.FunctionHandleMetadata(
                function_name=f"Executor.{name}",
                use_method_name=name,
                function_type=api_pb2.Function.FUNCTION_TYPE_FUNCTION,
                max_object_size_bytes=2**30,
                supported_output_formats=[CBOR],
            )
            for name in METHODS
        },
    )


@dataclass
class ControlPlane:
    """What the plane does and what it was asked; change it between calls."""

    container: Container = sandbox
    credentials: tuple[str, str] = ("ak-test", "as-test")
    workspace: str = "acme"
    deployed: bool = True
    version: int = 1
    """Deploying anew, after the app was stopped, gives its function another id."""
    silent: frozenset[str] = frozenset()
    """RPCs that are never answered."""
    blob_url: str = ""
    """Where a blob is downloaded from, whichever it is."""
    url: str = ""
    calls: list[str] = field(default_factory=list)
    bound: list[dict[str, str]] = field(default_factory=list)
    inputs: list[api_pb2.FunctionInput] = field(default_factory=list)
    metadata: api_pb2.FunctionHandleMetadata = field(default_factory=handle)

    async def answer(self, name: str, request: Any, metadata: Any) -> Any:
        self.calls.append(name)
        if name in self.silent:
            await asyncio.Event().wait()
        sent = (metadata.get("x-modal-token-id"), metadata.get("x-modal-token-secret"))
        if sent != self.credentials:
            raise GRPCError(Status.UNAUTHENTICATED, "Token not found")
        handler = getattr(self, f"on_{name}", None)
        if handler is None:
            raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not part of this test")
        return handler(request)

    def on_TokenInfoGet(self, _: Any) -> api_pb2.TokenInfoGetResponse:
        return api_pb2.TokenInfoGetResponse(workspace_name=self.workspace)

    def on_ClassGet(self, request: api_pb2.ClassGetRequest) -> api_pb2.ClassGetResponse:
        if not self.deployed:
            raise GRPCError(Status.NOT_FOUND, f"App {request.app_name} not found in environment main")
        return api_pb2.ClassGetResponse(class_id="cs-1", handle_metadata=api_pb2.ClassHandleMetadata())

    def on_FunctionGet(self, request: api_pb2.FunctionGetRequest) -> api_pb2.FunctionGetResponse:
        if not self.deployed:
            raise GRPCError(Status.NOT_FOUND, f"App {request.app_name} not found in environment main")
        return api_pb2.FunctionGetResponse(
            function_id="fu-service",
            handle_metadata=self.metadata,
            function=api_pb2.FunctionData(
                function_name="Executor.*", ranked_functions=[api_pb2.FunctionData.RankedFunction()]
            ),
        )

    def on_FunctionBindParams(self, request: api_pb2.FunctionBindParamsRequest) -> api_pb2.FunctionBindParamsResponse:
        parameters = api_pb2.ClassParameterSet.FromString(request.serialized_params).parameters
        self.bound.append({parameter.name: parameter.string_value for parameter in parameters})
        return api_pb2.FunctionBindParamsResponse(bound_function_id=f"fu-{self.version}", handle_metadata=self.metadata)

    def on_FunctionMap(self, request: api_pb2.FunctionMapRequest) -> api_pb2.FunctionMapResponse:
        if not self.deployed or request.function_id != f"fu-{self.version}":
            raise GRPCError(Status.NOT_FOUND, f"Function {request.function_id} not found")
        (item,) = request.pipelined_inputs
        self.inputs.append(item.input)
        return api_pb2.FunctionMapResponse(
            function_call_id=f"fc-{len(self.inputs)}",
            pipelined_inputs=[api_pb2.FunctionPutInputsResponseItem(input_id=f"in-{len(self.inputs)}")],
        )

    def on_FunctionGetOutputs(self, request: api_pb2.FunctionGetOutputsRequest) -> api_pb2.FunctionGetOutputsResponse:
        function_input = self.inputs[int(request.function_call_id.removeprefix("fc-")) - 1]
        return api_pb2.FunctionGetOutputsResponse(outputs=[self.container(function_input)])

    def use_input_plane(self) -> None:
        """Has functions called by Modal's newer way, which a function's metadata chooses; here at the same URL."""
        for metadata in self.metadata.method_handle_metadata.values():
            metadata.input_plane_url, metadata.input_plane_region = self.url, "us-central1"

    def on_AuthTokenGet(self, _: api_pb2.AuthTokenGetRequest) -> api_pb2.AuthTokenGetResponse:
        return api_pb2.AuthTokenGetResponse(token="a.e30.c")

    def on_AttemptStart(self, request: api_pb2.AttemptStartRequest) -> api_pb2.AttemptStartResponse:
        self.inputs.append(request.input.input)
        return api_pb2.AttemptStartResponse(attempt_token=f"at-{len(self.inputs)}")

    def on_AttemptAwait(self, request: api_pb2.AttemptAwaitRequest) -> api_pb2.AttemptAwaitResponse:
        function_input = self.inputs[int(request.attempt_token.removeprefix("at-")) - 1]
        return api_pb2.AttemptAwaitResponse(output=self.container(function_input))

    def on_BlobGet(self, _: api_pb2.BlobGetRequest) -> api_pb2.BlobGetResponse:
        return api_pb2.BlobGetResponse(download_url=self.blob_url)


def serve(plane: ControlPlane) -> Callable[[], None]:
    """Serves `plane` on a loopback port, from a thread of its own; gives the function that ends it."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        server = Server([_servicer(plane)])
        await server.start("127.0.0.1", 0)
        (socket,) = server._server.sockets
        plane.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()
        await server.wait_closed()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait()

    def end() -> None:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()

    return end


def _servicer(plane: ControlPlane) -> api_grpc.ModalClientBase:
    async def answer(name: str, stream: Any) -> None:
        request = await stream.recv_message()
        await stream.send_message(await plane.answer(name, request, stream.metadata))

    def method(name: str) -> Callable[[Any, Any], Any]:
        return lambda _, stream: answer(name, stream)

    names = api_grpc.ModalClientBase.__abstractmethods__
    servicer = type("Servicer", (api_grpc.ModalClientBase,), {name: method(name) for name in names})
    built: api_grpc.ModalClientBase = servicer()
    return built
