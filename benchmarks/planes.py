"""Control planes for a measurement: each in a state folder of its own, with the built images that are there already."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COMMAND_SECONDS = 60
DEPLOY_SECONDS = 900
"""The first deploy on a machine builds the image."""


@dataclass(frozen=True)
class Plane:
    """A running control plane; `variables` connect a client to it, `pid` is its process."""

    variables: Mapping[str, str]
    pid: int

    def deploy(self, *what: str, environment: str | None = None) -> None:
        """Deploys `what` (as `modal deploy` names it) with the client's command, into a new environment if named."""
        variables = dict(self.variables)
        if environment:
            variables["MODAL_ENVIRONMENT"] = environment
            run([sys.executable, "-m", "modal", "environment", "create", environment], variables, COMMAND_SECONDS)
        run([sys.executable, "-m", "modal", "deploy", *what], variables, DEPLOY_SECONDS)


@contextmanager
def plane(*, prefork: int) -> Iterator[Plane]:
    """A control plane that keeps `prefork` containers forked ahead, stopped and wiped away at the end."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home:
        settings = {"LOCAL_MODAL_HOME": home, "LOCAL_MODAL_PREFORK": str(prefork), "LOCAL_MODAL_PORT": "0"}
        try:
            _local_modal(settings, "start")
            variables: dict[str, str] = json.loads(_local_modal(settings, "env", "--format", "json"))
            status: dict[str, Any] = json.loads(_local_modal(settings, "status", "--json"))
            yield Plane(variables, int(status["pid"]))
        finally:
            _local_modal(settings, "stop")


def _local_modal(settings: Mapping[str, str], *arguments: str) -> str:
    return run([sys.executable, "-m", "local_modal", *arguments], settings, COMMAND_SECONDS)


def run(command: list[str], variables: Mapping[str, str], seconds: float) -> str:
    """What a command of the project prints.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, **variables},
        text=True,
        capture_output=True,
        check=False,
        timeout=seconds,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
