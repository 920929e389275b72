"""The engine that started the provider: where progress lines go, and whether it still lives."""

import logging
import socket
import threading

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

log = logging.getLogger(__name__)
SECONDS = 5.0
LONGEST_LINE = 240
"""Characters of a progress line; a terminal shows no more."""


class Engine:
    """Its service, once its address is known; without one, nothing is sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._address = ""
        self._stub: engine_pb2_grpc.EngineStub | None = None

    def connect(self, address: str) -> None:
        """Use the engine at `address` (host:port)."""
        with self._lock:
            if address and address != self._address:
                self._address = address
                self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def status(self, urn: str, line: str) -> None:
        """Shows a line beside the resource until the next one comes."""
        line = " ".join(line.split())[:LONGEST_LINE]
        if line:
            self._log(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=line, urn=urn, ephemeral=True))

    def warn(self, urn: str, text: str) -> None:
        """Has a warning about the resource stand in the report of the run."""
        self._log(engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=text, urn=urn))

    def _log(self, request: engine_pb2.LogRequest) -> None:
        if self._stub is None:
            return
        try:
            self._stub.Log(request, timeout=SECONDS)
        except grpc.RpcError as error:
            log.debug("the engine didn't take a line: %s", error)

    def gone(self) -> bool:
        """Whether nobody listens at its address any more."""
        host, _, port = self._address.rpartition(":")
        if not port.isdecimal():
            return False
        try:
            socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False
