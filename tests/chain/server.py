"""An inference server of the tests' own: a process that has the released engine and the plug-in, and runs workflows.

`tests.chain.server_process` is what runs in the process.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "modal",
    "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "False",
    "WORKFLOWS_PLUGINS": "modal_app.server.plugin",
    "DISABLE_VERSION_CHECK": "True",
    "TELEMETRY_OPT_OUT": "True",
    "MODAL_CONFIG_PATH": os.devnull,
}
START_SECONDS = 90
WORKSPACE = "chain"


@dataclass(frozen=True)
class Failure:
    """The engine's exception, as a caller of the server would see it."""

    kind: str
    message: str
    context: str
    line: int | None = None
    snippet: str | None = None
    traceback: str | None = None
    stdout: str | None = None
    stderr: str | None = None


@dataclass(frozen=True)
class Unsendable:
    """Stands for a value that can't leave the server's process."""

    type: str


@dataclass(frozen=True)
class Run:
    """What became of a workflow: its results, one for each image, or the failure; and what was shown meanwhile."""

    results: list[dict[str, Any]] | None
    failure: Failure | None
    seconds: float
    printed: str = ""
    streams: dict[str, Any] = field(default_factory=dict)
    traces: list[dict[str, Any]] = field(default_factory=list)

    @property
    def result(self) -> dict[str, Any]:
        """The only result."""
        assert self.failure is None, self.failure
        assert self.results is not None
        (result,) = self.results
        return result

    @property
    def error(self) -> Failure:
        """The failure that there has to be."""
        assert self.failure is not None, self.results
        return self.failure


class ServerDiedError(AssertionError):
    """The process ended while it was to answer."""


class Server:
    """The process, started; `run` is one request at a time."""

    def __init__(self, settings: Mapping[str, str], interpreter: tuple[str, ...] = (sys.executable,)) -> None:
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours.detach())
        with theirs:
            self._process = subprocess.Popen(
                [*interpreter, "-m", "tests.chain.server_process", str(theirs.fileno())],
                env={**os.environ, **ENVIRONMENT, **settings},
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        self._ready = False
        self._logged: str | None = None

    def run(
        self,
        workflow: dict[str, Any],
        workspace: str | None = WORKSPACE,
        *,
        settings: Mapping[str, str] | None = None,
        limit: float = 60,
        **parameters: Any,
    ) -> Run:
        """Compiles and runs `workflow`; `settings` change the server's variables first, with a new connection."""
        if not self._ready:
            self._receive(START_SECONDS)
            self._ready = True
        self._connection.send((workflow, workspace, dict(settings or {}), parameters))
        answer = self._receive(limit)
        assert isinstance(answer, Run)
        return answer

    def _receive(self, seconds: float) -> Any:
        if not self._connection.poll(seconds):
            raise AssertionError(f"the server gave no answer within {seconds} s")
        try:
            return self._connection.recv()
        except (EOFError, ConnectionResetError):
            assert self._process.stderr is not None
            raise ServerDiedError(f"the server died:\n{self._process.stderr.read()}") from None

    def close(self) -> str:
        """Ends the process; returns what it logged."""
        if self._logged is None:
            self._connection.close()
            self._process.kill()
            self._logged = self._process.communicate()[1]
        return self._logged

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
