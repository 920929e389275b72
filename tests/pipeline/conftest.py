"""A repository that a pipeline works on: a copy of the tree, with a local Modal that stands in for the account.

The account is one that no stack of this machine knows: credentials, Pulumi backend and passphrase come from the
variables of the workflows' steps alone, and the copy holds nothing of local Modal.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import LocalModal
from tests.pipeline.workflow import ROOT, Job
from tests.working_copy import PROJECT, configure, working_copy

SECONDS = 600
Secrets = Mapping[str, str]


class Repository:
    """What is checked out, and what GitHub holds for it."""

    def __init__(self, folder: Path, account: LocalModal) -> None:
        self.tree, self._home = working_copy(folder, without=("local_modal",)), folder / "home"
        self._home.mkdir()
        backend = folder / "backend"
        backend.mkdir()
        connection = account.client_env()
        self.manager = {name: connection[name] for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET")}
        """The account's own token, which no pipeline has."""
        self.secrets = {"PULUMI_CONFIG_PASSPHRASE": "of-this-test"}
        self.variables = {"PULUMI_BACKEND_URL": backend.as_uri()}
        self._server = {"MODAL_SERVER_URL": connection["MODAL_SERVER_URL"]}

    @property
    def machine(self) -> dict[str, str]:
        """Variables that a runner has by itself; the account's address is one, as it isn't modal.com here."""
        own = ("PULUMI_", "MODAL_", "AWS_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        places = {"XDG_STATE_HOME": str(self._home / "state"), "PULUMI_HOME": str(self._home / "pulumi")}
        return {**inherited, **places, **self._server, "MODAL_CONFIG_PATH": os.devnull, "CI": "true"}

    def run_job(self, job: Job, token: Secrets, *, status: int = 0, matrix: Secrets | None = None) -> str:
        """What the commands of a job print, run as the workflow says; the last one must end with `status`."""
        secrets = {f"secrets.{name}": value for name, value in {**self.secrets, **token}.items()}
        variables = {f"vars.{name}": value for name, value in self.variables.items()}
        context = {**secrets, **variables, **{f"matrix.{name}": value for name, value in (matrix or {}).items()}}
        steps = [step for step in job.steps if step.command]
        said = ""
        for step in steps:
            said += self.run(step.command, step.environ(context), status=status if step is steps[-1] else 0)
        assert said, f"{job} runs nothing"
        return said

    def make(self, arguments: str, token: Secrets, *, status: int = 0) -> str:
        """What a target prints that a person runs, with the stack's backend."""
        return self.run(f"make {arguments}", {**self.secrets, **self.variables, **token}, status=status)

    def run(self, command: str, environ: Mapping[str, str], *, status: int = 0) -> str:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", command],
            cwd=self.tree,
            env={**self.machine, **environ},
            stdin=subprocess.DEVNULL,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def service_user(self, name: str, environment: str, role: str) -> dict[str, str]:
        """The token of a new service user with one role in one environment, made as docs/ci.md says."""
        made = json.loads(self._modal("workspace", "service-users", "create", name, "--expires-in", "90d", "--json"))
        self._modal("workspace", "service-users", "set-role", name, environment, role)
        return {"MODAL_TOKEN_ID": made["token_id"], "MODAL_TOKEN_SECRET": made["token_secret"]}

    def configure(self, stack: str, **keys: Any) -> None:
        """Sets keys of a stack."""
        configure(self.tree, stack, **keys)

    def break_app(self) -> None:
        """A change that deploys well and answers no call."""
        self._edit("return execute(request)", "return {}")

    def mend_app(self) -> None:
        self._edit("return {}", "return execute(request)")

    def _edit(self, old: str, new: str) -> None:
        path = self.tree / "modal_app" / "app.py"
        text = path.read_text()
        assert text.count(old) == 1, f"{path.name} no longer holds {old!r} once"
        path.write_text(text.replace(old, new))

    def history(self, environment: str) -> list[str]:
        """The app's versions at Modal, the newest first."""
        rows = json.loads(self._modal("app", "history", PROJECT, "--env", environment, "--json"))
        return [row["version"] for row in rows]

    def _modal(self, *arguments: str) -> str:
        """What Modal's own command prints for the account."""
        command = [sys.executable, "-m", "modal", *arguments]
        environ = {**self.machine, **self.manager}
        done = subprocess.run(command, env=environ, text=True, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def pulumi_cli() -> None:
    """The CLI, gotten once; what it takes is outside any test's time limit."""
    subprocess.run([sys.executable, "-m", "infra.toolchain"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalModal]:
    """The local Modal that stands in for the account."""
    modal = LocalModal(tmp_path_factory.mktemp("account"), {"LOCAL_MODAL_PORT": "0"})
    modal.start()
    yield modal
    modal.run("stop")


@pytest.fixture
def repository(tmp_path: Path, account: LocalModal, pulumi_cli: None) -> Repository:  # noqa: ARG001 - it is there
    return Repository(tmp_path, account)
