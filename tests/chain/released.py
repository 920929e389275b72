"""The released inference server as it is, in a process of its own: asked over HTTP as its clients ask it."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any, Self

import requests

from tests.chain.server import ROOT
from tests.contract.conftest import free_port

SERVES = "Uvicorn running on"
START_SECONDS = 180
ANSWER_SECONDS = 60
OURS = ("MODAL_", "WORKFLOWS_", "WEBEXEC_", "CUSTOM_BLOCKS_", "PYTHONPATH")
QUIET = {"DISABLE_VERSION_CHECK": "True", "TELEMETRY_OPT_OUT": "True", "METRICS_ENABLED": "False"}


class ReleasedServer:
    """The server, starting; entering its context waits until it serves. Its log is kept.

    It finds the released packages, docker/start.py, and nothing else of this repository unless PYTHONPATH says so.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self._port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "start"],
            cwd=ROOT / "docker",
            env={**inherited, **QUIET, **variables, "HOST": "127.0.0.1", "PORT": str(self._port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._serves = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._session = requests.Session()
        self._session.trust_env = False

    @property
    def log(self) -> str:
        """All that it wrote to stderr."""
        return "".join(self._lines)

    def run(self, workflow: dict[str, Any], api_key: str | None, **inputs: Any) -> requests.Response:
        """The answer to `POST /workflows/run`."""
        body = {"api_key": api_key, "specification": workflow, "inputs": inputs}
        return self._session.post(f"http://127.0.0.1:{self._port}/workflows/run", json=body, timeout=ANSWER_SECONDS)

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()
        self._session.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._lines.append(line)
                if SERVES in line:
                    self._serves.set()
        self._serves.set()

    def __enter__(self) -> Self:
        if not self._serves.wait(START_SECONDS) or SERVES not in self.log:
            self.close()
            raise AssertionError(f"the server doesn't serve:\n{self.log[-4000:]}")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
