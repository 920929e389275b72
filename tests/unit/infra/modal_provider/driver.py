"""The engine's side of the provider protocol, as Pulumi's engine plays it: a provider process, and calls to it."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc, status_pb2
from pulumi.runtime.proto import provider_pb2 as pb

from infra.modal_provider.values import decode, encode

ROOT = Path(__file__).parents[4]
SECONDS = 100.0


class Engine(engine_pb2_grpc.EngineServicer):
    """Takes progress lines."""

    def __init__(self) -> None:
        self.lines: queue.Queue[engine_pb2.LogRequest] = queue.Queue()
        self.seen: list[str] = []
        self._server = grpc.server(ThreadPoolExecutor(4))
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: ARG002
        self.lines.put(request)
        self.seen.append(request.message)
        return empty_pb2.Empty()

    def stop(self) -> None:
        self._server.stop(None).wait()


@dataclass
class State:
    """What Pulumi would keep of a resource; the wire forms tell what is secret."""

    kind: str
    id: str
    inputs: dict[str, Any]
    properties: struct_pb2.Struct

    @property
    def outputs(self) -> dict[str, Any]:
        return decode(self.properties).values

    @property
    def secret(self) -> frozenset[str]:
        return decode(self.properties).secret


class Refused(Exception):
    """The provider's message, and the partial state that came with it."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.details())
        self.partial: pb.ErrorResourceInitFailed | None = None
        metadata = dict((item.key, item.value) for item in error.trailing_metadata() or ())
        if details := metadata.get("grpc-status-details-bin"):
            status = status_pb2.Status.FromString(details if isinstance(details, bytes) else details.encode())
            self.partial = pb.ErrorResourceInitFailed()
            assert status.details[0].Unpack(self.partial)


@dataclass
class Provider:
    """A running provider process."""

    process: subprocess.Popen[str]
    engine: Engine
    stub: Any
    stderr: list[str] = field(default_factory=list)

    def urn(self, kind: str) -> str:
        return f"urn:pulumi:test::project::modal:index:Parent$modal:index:{kind}::it"

    def check(self, kind: str, inputs: Mapping[str, Any]) -> pb.CheckResponse:
        with _refusals():
            request = pb.CheckRequest(urn=self.urn(kind), news=encode(inputs, ()))
            answer: pb.CheckResponse = self.stub.Check(request, timeout=SECONDS)
        return answer

    def failures(self, kind: str, inputs: Mapping[str, Any]) -> dict[str, str]:
        return {failure.property: failure.reason for failure in self.check(kind, inputs).failures}

    def checked(self, kind: str, inputs: Mapping[str, Any]) -> struct_pb2.Struct:
        answer = self.check(kind, inputs)
        assert not answer.failures, answer.failures
        return answer.inputs

    def diff(self, kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> pb.DiffResponse:
        olds, news = self.checked(kind, old), self.checked(kind, new)
        request = pb.DiffRequest(urn=self.urn(kind), old_inputs=olds, olds=olds, news=news)
        with _refusals():
            answer: pb.DiffResponse = self.stub.Diff(request, timeout=SECONDS)
        return answer

    def create(self, kind: str, inputs: Mapping[str, Any], *, preview: bool = False) -> State:
        request = pb.CreateRequest(urn=self.urn(kind), properties=self.checked(kind, inputs), preview=preview)
        with _refusals():
            answer = self.stub.Create(request, timeout=SECONDS)
        return State(kind, answer.id, dict(inputs), answer.properties)

    def update(self, state: State, inputs: Mapping[str, Any], *, preview: bool = False) -> State:
        request = pb.UpdateRequest(
            urn=self.urn(state.kind),
            id=state.id,
            olds=state.properties,
            old_inputs=self.checked(state.kind, state.inputs),
            news=self.checked(state.kind, inputs),
            preview=preview,
        )
        with _refusals():
            answer = self.stub.Update(request, timeout=SECONDS)
        return State(state.kind, state.id, dict(inputs), answer.properties)

    def read(self, state: State) -> State | None:
        """A refresh."""
        inputs = self.checked(state.kind, state.inputs)
        request = pb.ReadRequest(id=state.id, urn=self.urn(state.kind), properties=state.properties, inputs=inputs)
        return self._read(request, state.kind)

    def adopt(self, kind: str, resource_id: str) -> State | None:
        """An import: nothing is known but the id."""
        return self._read(pb.ReadRequest(id=resource_id, urn=self.urn(kind)), kind)

    def _read(self, request: pb.ReadRequest, kind: str) -> State | None:
        with _refusals():
            answer = self.stub.Read(request, timeout=SECONDS)
        return State(kind, answer.id, decode(answer.inputs).values, answer.properties) if answer.id else None

    def delete(self, state: State) -> None:
        inputs = self.checked(state.kind, state.inputs)
        request = pb.DeleteRequest(
            id=state.id, urn=self.urn(state.kind), properties=state.properties, old_inputs=inputs
        )
        with _refusals():
            self.stub.Delete(request, timeout=SECONDS)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise Refused(error) from None


@contextmanager
def provider(variables: Mapping[str, str], *, through: tuple[str, ...] = ()) -> Iterator[Provider]:
    """A provider started as Pulumi starts it, with an engine to report to; `through`, what starts it in turn."""
    engine = Engine()
    command = [*through, sys.executable, "-u", str(ROOT / "infra" / "modal_provider"), engine.address]
    process = subprocess.Popen(
        command,
        env={**os.environ, **variables},
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    stderr: list[str] = []
    reader = threading.Thread(target=stderr.extend, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        port = process.stdout.readline().strip()
        assert port.isdecimal(), "".join(stderr)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Provider(process, engine, provider_pb2_grpc.ResourceProviderStub(channel), stderr)
    finally:
        process.kill()
        process.wait()
        reader.join(10)
        process.stdout.close()
        process.stderr.close()
        engine.stop()
