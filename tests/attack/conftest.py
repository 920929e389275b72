"""A control plane of the attacks' own, and a container in which each of them runs as a block's author would run it."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpclib.client
import modal
import pytest
from modal_proto import api_grpc, api_pb2

os.environ.setdefault("DISABLE_VERSION_CHECK", "True")
os.environ.setdefault("TELEMETRY_OPT_OUT", "True")

with warnings.catch_warnings():  # the engine's own, about its own packages
    warnings.simplefilter("ignore")
    import inference.core  # noqa: F401 - first: it installs the configuration that the engine reads
    import roboflow_workflows.execution_engine.entities.base  # noqa: F401

from tests.contract.conftest import LocalModal

APP = """
    import asyncio
    import gc
    import os
    import socket
    import struct
    import time

    import hpack
    import modal
    from modal_proto import api_pb2

    app = modal.App("attacks")
    image = modal.Image.debian_slim(python_version="3.11")


    def manager():
        from modal._runtime.container_io_manager import _ContainerIOManager

        return _ContainerIOManager._singleton


    def stub():
        return manager()._client._stub


    def on_loop(coroutine):
        from modal._utils.async_utils import synchronizer

        return asyncio.run_coroutine_threadsafe(coroutine, synchronizer._loop).result(15)


    def raw_socket():
        protocols = [found for found in gc.get_objects() if type(found).__name__ == "H2Protocol"]
        descriptor = protocols[-1].connection._transport.get_extra_info("socket").fileno()
        os.set_blocking(descriptor, True)
        return socket.socket(fileno=os.dup(descriptor))


    def frame(kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


    def request_headers(method):
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/modal.client.ModalClient/" + method)]
        fields += [("te", "trailers"), ("content-type", "application/grpc")]
        return hpack.Encoder().encode(fields)


    def say(outputs):
        return on_loop(stub().FunctionPutOutputs(api_pb2.FunctionPutOutputsRequest(outputs=outputs), retry=None))


    @app.cls(
        image=image, timeout=6, single_use_containers=True, enable_memory_snapshot=True, restrict_modal_access=True,
        _experimental_restrict_output=True,
    )
    class Attacker:
        @modal.method()
        def run(self, code):
            space = dict(globals())
            exec(code, space)
            return space.get("result")


    @app.function(image=image, timeout=20, max_containers=1)
    def big(size, served=[]):
        served.append(size)
        return len(served), bytes(size)
"""


@dataclass(frozen=True)
class Target:
    """The control plane under attack, and the client of an innocent caller."""

    local: LocalModal
    client: modal.Client
    variables: Mapping[str, str]
    pid: int

    def run(self, code: str) -> Any:
        """What the attack sets `result` to."""
        return self.start(code).get(timeout=40)

    def start(self, code: str) -> Any:
        """The call of an attack that goes on."""
        attacker = modal.Cls.from_name("attacks", "Attacker", environment_name="main", client=self.client)
        return attacker().run.spawn(textwrap.dedent(code))

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory_mib(self) -> int:
        """What it has ever held at once."""
        return next(int(line.split()[1]) for line in self._status() if line.startswith("VmHWM")) >> 10

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def busy(self) -> int:
        """Containers that have, or had, an input (count)."""

        async def ask() -> int:
            port = int(self.variables["MODAL_SERVER_URL"].rpartition(":")[2])
            async with grpclib.client.Channel("127.0.0.1", port) as channel:
                answer = await api_grpc.ModalClientStub(channel).TaskList(
                    api_pb2.TaskListRequest(), metadata=self.token
                )
            return len(answer.tasks)

        return asyncio.run(ask())

    @property
    def token(self) -> dict[str, str]:
        return {
            "x-modal-token-id": self.variables["MODAL_TOKEN_ID"],
            "x-modal-token-secret": self.variables["MODAL_TOKEN_SECRET"],
        }

    def printed(self, input_id: str) -> tuple[int, int]:
        """Rows and bytes of what an input's container printed."""
        with closing(sqlite3.connect(self.local.home / "store.sqlite3")) as store:
            query = "SELECT count(*), coalesce(sum(length(CAST(data AS BLOB))), 0) FROM logs WHERE input_id = ?"
            rows, size = store.execute(query, (input_id,)).fetchone()
        return rows, size

    def _status(self) -> list[str]:
        return Path(f"/proc/{self.pid}/status").read_text().splitlines()


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Answers are limited to 32 MiB, so that what waits for a limit is quick."""
    settings = {"LOCAL_MODAL_PORT": "0", "LOCAL_MODAL_MAX_OUTPUT_BYTES": str(32 << 20), "LOCAL_MODAL_EXIT_GRACE": "1"}
    local = LocalModal(tmp_path_factory.mktemp("target"), settings)
    local.start()
    source = tmp_path_factory.mktemp("app") / "attacks.py"
    source.write_text(textwrap.dedent(APP))
    try:
        variables = local.client_env()
        deployed = subprocess.run(
            [sys.executable, "-m", "modal", "deploy", str(source)],
            env={**os.environ, **variables},
            text=True,
            capture_output=True,
            check=False,
            timeout=100,
        )
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("MODAL_SERVER_URL", variables["MODAL_SERVER_URL"])
            client = modal.Client.from_credentials(variables["MODAL_TOKEN_ID"], variables["MODAL_TOKEN_SECRET"])
        made = Target(local, client, variables, int(str(local.status()["pid"])))
        assert made.run("result = 'ready'") == "ready"
        yield made
    finally:
        local.run("stop")


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something outside becomes so in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
