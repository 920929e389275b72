"""A control plane with the app deployed, and inference servers that run workflows through it.

One test waits for the real time limit; elsewhere the limits are lowered by settings.
"""

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

os.environ.setdefault("DISABLE_VERSION_CHECK", "True")
os.environ.setdefault("TELEMETRY_OPT_OUT", "True")

with warnings.catch_warnings():  # the engine's own, about its own packages; what comes back is of its types
    warnings.simplefilter("ignore")
    import inference.core  # noqa: F401 - first: it installs the configuration that the engine reads
    import roboflow_workflows.execution_engine.entities.base  # noqa: F401

from tests.chain.server import ROOT, Server
from tests.contract.conftest import LocalModal

SAYS_ANOTHER = (
    "sandbox/preload.py",
    "    import cbor2",
    "    from importlib import metadata\n    real = metadata.version\n"
    "    metadata.version = lambda name: '1.8.2' if name.startswith('inference') else real(name)\n"
    "    import cbor2",
)
"""A change of the app (`mutated`) after which its containers say that they have another inference."""
DEPLOY_SECONDS = 600
"""Building the image takes the machine's first test run a minute or more."""


def deploy(
    plane: LocalModal, environment: str | None = None, source: Path = ROOT, settings: Mapping[str, str] | None = None
) -> None:
    """Deploys the app from `source` with the client's own command, into an environment that is made if it is named."""
    variables = {**os.environ, **plane.client_env(), **(settings or {})}
    commands = [["deploy", "-m", "modal_app.app"]]
    if environment:
        variables["MODAL_ENVIRONMENT"] = environment
        commands.insert(0, ["environment", "create", environment])
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "modal", *command],
            cwd=source,
            env=variables,
            text=True,
            capture_output=True,
            check=False,
            timeout=DEPLOY_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def mutated(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """A copy of the app's source with changes, each of a file, a text that stands there, and what to put instead."""
    for name in ("modal_app", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in changes:
        path = folder / "modal_app" / file
        text = path.read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new))
    return folder


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalModal]:
    """A control plane with the app deployed in its default environment."""
    plane = LocalModal(tmp_path_factory.mktemp("plane"), {"LOCAL_MODAL_PORT": "0"})
    plane.start()
    try:
        deploy(plane)
        yield plane
    finally:
        plane.run("stop")


@pytest.fixture(scope="session")
def server(plane: LocalModal) -> Iterator[Server]:
    """A server connected to the control plane."""
    with Server(plane.client_env()) as server:
        yield server


StartServer = Callable[..., Server]


@pytest.fixture
def start_server(plane: LocalModal) -> Iterator[StartServer]:
    """Starts a server for one test: connected, with other settings on top."""
    started: list[Server] = []

    def start(interpreter: tuple[str, ...] = (sys.executable,), **settings: str) -> Server:
        started.append(Server({**plane.client_env(), **settings}, interpreter))
        return started[-1]

    yield start
    for server in started:
        server.close()
