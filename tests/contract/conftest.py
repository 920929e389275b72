"""A control plane for the session, and the unmodified client connected to it.

With MODAL_TEST_REAL=1 the same tests use the account that the environment is configured for; those that look behind the
protocol (fixture `home`) don't run there, and say so.
"""

import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import modal
import pytest

REAL = os.environ.get("MODAL_TEST_REAL") == "1"
ROOT = Path(__file__).parents[2]
PLANE_PYTHON = os.environ.get("TEST_PLANE_PYTHON", sys.executable)
"""Runs the control plane where the tests themselves run with another version of the client (`make test-clients`)."""


@dataclass(frozen=True)
class LocalModal:
    """A control plane of the tests' own, driven by its command line."""

    home: Path
    settings: Mapping[str, str]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command of the command line."""
        return subprocess.run(
            [PLANE_PYTHON, "-m", "local_modal", *arguments],
            env={**os.environ, **self.settings, "LOCAL_MODAL_HOME": str(self.home)},
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=check,
            timeout=60,
        )

    def start(self) -> None:
        self.run("start")

    def client_env(self) -> dict[str, str]:
        """The variables that connect a client."""
        variables: dict[str, str] = json.loads(self.run("env", "--format", "json").stdout)
        return variables

    def status(self) -> dict[str, object]:
        facts: dict[str, object] = json.loads(self.run("status", "--json", check=False).stdout)
        return facts

    @property
    def log(self) -> str:
        """What the control plane wrote."""
        return (self.home / "control-plane.log").read_text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of what this version of the client lacks don't run, and say so."""
    for item in items:
        for marker in item.iter_markers("needs_client"):
            for name in marker.args:
                if not has(name):
                    reason = f"NOT RUN with modal {modal.__version__}: it lacks {name}"
                    item.add_marker(pytest.mark.skip(reason=reason))


def has(name: str) -> bool:
    """Whether this version of the client has an attribute, by its dotted name in `modal`."""
    found: object = modal
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is not None


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LocalModal]:
    """A control plane that the test may kill."""
    local = LocalModal(tmp_path / "home", {"LOCAL_MODAL_PORT": str(free_port())})
    yield local
    local.run("stop", check=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="session")
def session_settings() -> dict[str, str]:
    """Limits lowered, so that what waits for them is quick."""
    return {
        "LOCAL_MODAL_PORT": "0",
        "LOCAL_MODAL_CANCEL_GRACE": "1",
        "LOCAL_MODAL_MAX_INLINE_BYTES": str(4 << 20),
        "LOCAL_MODAL_MAX_OUTPUT_BYTES": str(32 << 20),
        "LOCAL_MODAL_WEB_REQUEST_MIB": "40",
        "LOCAL_MODAL_WEB_RESPONSE_MIB": "80",
        "LOCAL_MODAL_WEB_MESSAGE_MIB": "2",
    }


@pytest.fixture(scope="session")
def connection(
    tmp_path_factory: pytest.TempPathFactory, session_settings: dict[str, str]
) -> Iterator[LocalModal | None]:
    """The control plane, with this process's client connected to it; None when it is Modal itself."""
    if REAL:
        yield None
        return
    local = LocalModal(tmp_path_factory.mktemp("local-modal"), session_settings)
    local.start()
    before = dict(os.environ)
    os.environ.update(local.client_env())
    try:
        yield local
    finally:
        os.environ.clear()
        os.environ.update(before)
        local.run("stop")


@pytest.fixture
def local(connection: LocalModal | None) -> LocalModal:
    """For tests that look behind the protocol."""
    if connection is None:
        pytest.skip("NOT RUN on Modal itself: looks behind the protocol")
    return connection


@pytest.fixture(scope="session")
def environment(connection: LocalModal | None) -> Iterator[str]:  # noqa: ARG001 - sets the client up
    """An environment of the session's own."""
    name = f"contract-{uuid4().hex[:8]}"
    modal.Environment.objects.create(name)
    try:
        yield name
    finally:
        modal.Environment.objects.delete(name)


Deploy = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def cli(environment: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The unmodified `modal` command."""

    def run(*arguments: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "modal", *arguments],
            env={**os.environ, "MODAL_ENVIRONMENT": environment, "COLUMNS": "200"},
            text=True,
            capture_output=True,
            input=stdin,
            check=False,
            timeout=100,
        )
        if check and done.returncode:
            raise AssertionError(
                f"modal {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    return run


@pytest.fixture(scope="session")
def deploy(cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory) -> Deploy:
    """Deploys source text as an app, with the client's own command: `deploy(source, check=False)`."""

    def run(source: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        path = tmp_path_factory.mktemp("app") / "deployed_app.py"
        path.write_text(textwrap.dedent(source))
        return cli("deploy", str(path), *arguments, check=check)

    return run


@contextmanager
def connected(token_id: str, token_secret: str) -> Iterator[modal.Client]:
    """A client with that token; of modal 1.6.0 to 1.6.3, `with` would open a second time what is open, and fails."""
    client = modal.Client.from_credentials(token_id, token_secret)
    try:
        yield client
    finally:
        (getattr(client, "close", None) or client._close)()  # type: ignore[attr-defined] # private till 1.6.3


def lookup(app: str, cls: str, environment: str, **parameters: str) -> modal.cls.Obj:
    """An instance of a deployed class."""
    return modal.Cls.from_name(app, cls, environment_name=environment)(**parameters)
