"""The make targets on a stack of an account, for which a second local Modal stands in: what a person types, as typed.

They run in a copy of the tree, as some write into it, with a home, a Pulumi backend and credentials of their own.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chain import workflows
from tests.chain.pulumi.conftest import APP, ROOT, Deployment, StartModal
from tests.chain.server import Server
from tests.contract.conftest import LocalModal
from tests.working_copy import configure, working_copy

pytestmark = pytest.mark.timeout(900)
PASSPHRASE = "of-the-account"
STAGING = {"timeout": 5, "executorEnv": {"GREETING": "hello"}}
GREET = workflows.single("def run(self):\n    return {'value': os.environ.get('GREETING')}\n")
FAILED = 2
"""Exit status of make when a recipe fails, whatever the recipe's own was."""


@dataclass
class Checkout:
    """A copy of the tree that is set up, and the user who works in it."""

    tree: Path
    home: Path
    modal: LocalModal

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "XDG_"))}
        own = {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),  # has the Pulumi CLI
            "PULUMI_BACKEND_URL": (self.home / "backend").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        }
        return {**kept, **own, **self.modal.client_env()}

    @property
    def stack(self) -> Deployment:
        """The same stack, to be looked at."""
        return Deployment(self.tree, self.home, self.modal.client_env(), "staging", self.environ)

    def history(self) -> list[str]:
        """Versions of the app at Modal, the newest first."""
        rows = json.loads(self.stack.ask_modal("app", "history", APP, "--env", "staging", "--json"))
        return [row["version"] for row in rows]

    def configure(self, **keys: object) -> None:
        configure(self.tree, "staging", **keys)

    def make(self, *arguments: str, status: int = 0) -> str:
        """What a target prints."""
        return self.run("make", *arguments, "STACK=staging", status=status)

    def run(self, *command: str, status: int = 0, **variables: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.tree,
            env={**self.environ, **variables},
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path, start_modal: StartModal, pulumi_cli: Path) -> Checkout:  # noqa: ARG001 - it is there
    tree, home = working_copy(tmp_path), tmp_path / "home"
    (home / "backend").mkdir(parents=True)
    return Checkout(tree, home, start_modal())


@pytest.fixture(autouse=True)
def _own_tree_untouched() -> Iterator[None]:
    """The stacks' files of the tree that the tests run from."""
    before = {path: path.read_bytes() for path in ROOT.glob("Pulumi*.yaml")}
    yield
    assert {path: path.read_bytes() for path in ROOT.glob("Pulumi*.yaml")} == before


def variables(file: Path) -> dict[str, str]:
    """Of a server's env file, as a shell reads it."""
    assert file.stat().st_mode & 0o777 == 0o600
    lines = (line for line in file.read_text().splitlines() if not line.startswith("#"))
    return {name: "".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}


def assert_every_check_passed(said: str) -> None:
    rows = [line for line in said.splitlines() if "✓" in line or "✗" in line or "not run" in line]
    assert len(rows) >= 12, said
    assert all("✓" in row for row in rows), said


WRONG = {
    "timeout": 0,
    "network": "everything",
    "region": "Mars",
    "executorEnv": {"MODAL_TOKEN_ID": "ak-1"},
    "serverEnv": {"WORKFLOWS_PLUGINS": "mine"},
}
OF_ANOTHER_TYPE = {"memory": "much", "protect": "perhaps"}


@pytest.mark.parametrize("command", ["make deploy", "make preview", "make drift", "make rotate", "pulumi up"])
def test_all_that_is_wrong_in_a_stacks_file_is_named_before_anything_is_touched(
    checkout: Checkout, pulumi_cli: Path, command: str
) -> None:
    """Values of another type too, except where Pulumi itself, which has the first word then, stops at one."""
    by_make = command.startswith("make")
    wrong = {**WRONG, **OF_ANOTHER_TYPE} if by_make else WRONG
    checkout.configure(**wrong)
    before = (checkout.tree / "Pulumi.staging.yaml").read_bytes()
    if by_make:
        said = checkout.make(command.removeprefix("make "), status=FAILED)
        assert list((checkout.home / "backend").iterdir()) == [], "there is no stack yet"
        assert (checkout.tree / "Pulumi.staging.yaml").read_bytes() == before
    else:
        checkout.run(str(pulumi_cli), "stack", "init", "staging")
        said = checkout.run(str(pulumi_cli), "up", "--stack", "staging", "--yes", "--skip-preview", status=1)
    assert f"stack staging: {len(wrong)} settings are wrong, nothing was touched" in said
    for key in wrong:
        assert re.search(rf"^ +{key}: ", said, re.MULTILINE)
    assert "network: 'everything' must be one of none, egress" in said
    assert checkout.stack.inventory()["environments"] == ["main"]


def test_a_value_of_another_type_stops_a_plain_pulumi_before_the_program_runs(
    checkout: Checkout, pulumi_cli: Path
) -> None:
    checkout.run(str(pulumi_cli), "stack", "init", "staging")
    checkout.configure(**OF_ANOTHER_TYPE)
    said = checkout.run(str(pulumi_cli), "up", "--stack", "staging", "--yes", "--skip-preview", status=1)
    assert "configuration key 'memory' must be of type 'integer'" in said
    assert checkout.stack.inventory()["environments"] == ["main"]


@pytest.mark.parametrize("command", ["make deploy", "make preview", "pulumi up"])
def test_missing_credentials_are_a_message_that_says_how_to_get_them(
    checkout: Checkout, pulumi_cli: Path, command: str
) -> None:
    without = {"MODAL_TOKEN_ID": "", "MODAL_TOKEN_SECRET": ""}
    if command == "pulumi up":
        checkout.run(str(pulumi_cli), "stack", "init", "staging")
        said = checkout.run(str(pulumi_cli), "preview", "--stack", "staging", status=1, **without)
    else:
        said = checkout.run(*command.split(), "STACK=staging", status=FAILED, **without)
    assert "stack staging needs credentials for Modal, and there are none" in said
    assert "modal token new" in said


def test_a_released_server_is_served_and_runs_the_workflow_of_the_command_that_is_printed(checkout: Checkout) -> None:
    """As typed, and ended as by Ctrl-C, which the terminal sends to all that run there."""
    checkout.configure(anonymous="allow")
    said = checkout.make("serve", "TRANSPORT=websocket", status=FAILED)
    assert "stack staging isn't deployed" in said
    assert "there is no such transport; there are native, http, websocket, session" in checkout.make(
        "serve", "TRANSPORT=grpc", status=FAILED
    )
    checkout.stack.run("up")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} can't be used" in checkout.make("serve", f"PORT={port}", status=FAILED)
    serving = subprocess.Popen(
        ["make", "serve", "STACK=staging", "TRANSPORT=websocket", f"PORT={port}"],
        cwd=checkout.tree,
        env=checkout.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert serving.stdout is not None
        command = next(line for line in serving.stdout if line.startswith("  curl "))
        answer = json.loads(checkout.run("bash", "-c", command))
        assert answer["outputs"][0]["report"]["deliveries"] == {"count": 1, "free": 1}
        os.killpg(serving.pid, signal.SIGINT)
        rest = serving.stdout.read()
        assert "Finished server process" in rest
        assert "Traceback" not in rest
        assert serving.wait(30) in {0, FAILED, -signal.SIGINT}
    finally:
        with suppress(ProcessLookupError):
            os.killpg(serving.pid, signal.SIGKILL)
        serving.communicate()
    socket.create_server(("127.0.0.1", port)).close()


def test_a_stack_of_an_account_from_its_first_deployment_to_its_last(checkout: Checkout, tmp_path: Path) -> None:
    checkout.configure(**STAGING)
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    said = checkout.make("deploy")
    assert_every_check_passed(said)
    assert "make server-env TRANSPORT=native STACK=staging" in said
    assert checkout.stack.inventory()["apps"] == {"main": [], "staging": [APP]}

    printed = checkout.make("server-env")
    assert "MODAL_ENVIRONMENT=staging\n" in printed
    assert "MODAL_SERVER_URL=http://" in printed
    assert "=as-" not in printed
    checkout.make("server-env", f"FILE={first}")
    assert "WEBEXEC_TRANSPORT=websocket\n" in checkout.make("server-env", "TRANSPORT=websocket")
    checkout.make("server-env", "TRANSPORT=http", f"FILE={tmp_path / 'http.env'}")
    assert variables(tmp_path / "http.env")["MODAL_TOKEN_ID"].startswith("wk-")
    assert variables(first)["MODAL_TOKEN_ID"] != checkout.environ["MODAL_TOKEN_ID"], "a server has a token of its own"

    with Server(variables(first)) as running:
        assert running.run(GREET).result == {"value": "hello"}
        assert "2 created" in checkout.make("rotate", f"FILE={second}")
        assert "rotation: " in (checkout.tree / "Pulumi.staging.yaml").read_text()
        assert running.run(GREET).result == {"value": "hello"}, "it goes on with the token that it was started with"
        with Server(variables(second)) as restarted:
            assert restarted.run(GREET).result == {"value": "hello"}
            checkout.make("rotate", f"FILE={tmp_path / 'third.env'}")
            assert "MODAL_TOKEN_ID" in running.run(GREET).error.message, "that token is gone now"
            assert restarted.run(GREET).result == {"value": "hello"}

    checkout.make("drift")
    checkout.configure(timeout=6)
    assert "[diff: ~settings]" in checkout.make("preview")
    assert_every_check_passed(checkout.make("deploy"))
    assert checkout.history() == ["v2", "v1"]
    checkout.make("rollback")
    assert checkout.history() == ["v3", "v2", "v1"]
    checkout.make("drift", status=FAILED)

    checkout.make("destroy", "YES=1")
    found = checkout.stack.inventory()
    assert found["environments"] == ["main"]
    assert found["service users"] == found["proxy tokens"] == found["apps"]["main"] == []
