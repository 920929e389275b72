"""Stacks that the tests deploy: a copy of the tree each, a Pulumi home and state of their own, and a local Modal.

The Pulumi CLI is the one that `python -m infra.toolchain` gets; where it has to be built, the first test takes minutes.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.contract.conftest import LocalModal

ROOT = Path(__file__).parents[3]
PROJECT = "inference-custom-blocks"
APP = "inference-custom-blocks"
TREE = ("infra", "modal_app", "requirements")
SECONDS = 600


@dataclass
class Deployment:
    """One stack of a copy of the tree."""

    tree: Path
    home: Path
    modal: Mapping[str, str]
    """Variables that connect Modal's client."""
    stack: str = "local"
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
        places = {"XDG_STATE_HOME": str(self.home / "state"), "PULUMI_HOME": str(self.home / "pulumi")}
        return {**inherited, **places, **self.modal, **self.variables}

    @property
    def backend(self) -> Path:
        """Folder of its file backend."""
        return self.home / "state" / "inference-custom-blocks" / "pulumi"

    @property
    def file(self) -> Path:
        return self.tree / f"Pulumi.{self.stack}.yaml"

    def use_own_backend(self, passphrase: str) -> None:
        """Makes the stack in a backend that its variables name, as one of an account's is."""
        self.backend.mkdir(parents=True)
        self.variables |= {
            "PULUMI_BACKEND_URL": self.backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": passphrase,
        }
        self.run("pulumi", "stack", "init", self.stack)

    def configure_secret(self, path: str, value: str) -> None:
        """Sets one value of a secret key, `key.NAME`, encrypted."""
        self.run("pulumi", "config", "set", "--secret", "--path", path, stdin=value)

    def configure(self, **keys: Any) -> None:
        """Sets keys of the stack; None takes one away."""
        content = yaml.safe_load(self.file.read_text()) if self.file.exists() else {}
        config = content.setdefault("config", {})
        for name, value in keys.items():
            config[f"{PROJECT}:{name}"] = value
            if value is None:
                del config[f"{PROJECT}:{name}"]
        self.file.write_text(yaml.safe_dump(content))

    def command(self, *arguments: str) -> list[str]:
        verb, *rest = arguments
        return [sys.executable, "-m", "infra.converge", verb, "--stack", self.stack, *rest]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A verb that runs; its output is to be read."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.tree,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, status: int = 0, stdin: str = "") -> str:
        """What a verb prints; it must end with `status`."""
        return self._run(self.command(*arguments), status, stdin)

    def env_file(self, *arguments: str, status: int = 0) -> str:
        """What `python -m infra.env_file` prints; it must end with `status`."""
        return self._run([sys.executable, "-m", "infra.env_file", "--stack", self.stack, *arguments], status)

    def _run(self, command: list[str], status: int, stdin: str = "") -> str:
        done = subprocess.run(
            command,
            cwd=self.tree,
            env=self.environ,
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def ask_modal(self, *arguments: str) -> str:
        """What Modal's own command prints, run by the account."""
        done = subprocess.run(
            [sys.executable, "-m", "modal", *arguments],
            env=self.environ,
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def inventory(self) -> dict[str, Any]:
        """What is at Modal, as Modal says."""
        script = Path(__file__).parent / "inventory.py"
        done = subprocess.run(
            [sys.executable, script], env=self.environ, text=True, capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def state(self) -> dict[str, Any]:
        """The deployment that the backend holds."""
        path = self.backend / ".pulumi" / "stacks" / PROJECT / f"{self.stack}.json"
        latest: dict[str, Any] = json.loads(path.read_text())["checkpoint"]["latest"]
        return latest

    def resources(self, kind: str) -> list[dict[str, Any]]:
        """The resources of a type, `modal:index:<kind>`, in the state."""
        return [item for item in self.state().get("resources", []) if item["type"] == f"modal:index:{kind}"]

    def expected(self) -> dict[str, Any]:
        """What Modal must hold if it is what the state says, and nothing else."""
        environments = sorted({"main", *(item["inputs"]["name"] for item in self.resources("Environment"))})

        def within(kind: str) -> dict[str, list[str]]:
            inputs = [item["inputs"] for item in self.resources(kind)]
            return {
                name: sorted(item["name"] for item in inputs if item["environment"] == name) for name in environments
            }

        def generations(kind: str) -> list[str]:
            inputs = [item["inputs"] for item in self.resources(kind)]
            return sorted(f"{item['name']}-{item['generation']}" for item in inputs)

        return {
            "environments": environments,
            "service users": generations("ServiceUser"),
            "proxy tokens": generations("ProxyToken"),
            "secrets": within("Secret"),
            "apps": within("App"),
        }

    def output(self, name: str) -> Any:
        """One of the stack's plain outputs."""
        stack = next(item for item in self.state()["resources"] if item["type"] == "pulumi:pulumi:Stack")
        return stack["outputs"].get(name)


@pytest.fixture(scope="session")
def pulumi_cli() -> Path:
    """The CLI, gotten once; what it takes is outside any test's time limit."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.toolchain"], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True
    )
    return Path(done.stdout.strip())


StartModal = Callable[[], LocalModal]


@pytest.fixture
def start_modal(tmp_path: Path) -> Iterator[StartModal]:
    """Starts control planes, each with nothing in it."""
    started: list[LocalModal] = []

    def start() -> LocalModal:
        started.append(LocalModal(tmp_path / f"modal-{len(started)}", {"LOCAL_MODAL_PORT": "0"}))
        started[-1].start()
        return started[-1]

    yield start
    for modal in started:
        modal.run("stop")


NewDeployment = Callable[..., Deployment]


@pytest.fixture
def new_deployment(tmp_path: Path, start_modal: StartModal, pulumi_cli: Path) -> NewDeployment:  # noqa: ARG001 - it is there
    """A stack that isn't deployed yet, with a control plane of its own."""

    def new(stack: str = "local", modal: LocalModal | None = None) -> Deployment:
        return deployment_in(tmp_path, stack, modal or start_modal())

    return new


def deployment_in(folder: Path, stack: str, modal: LocalModal) -> Deployment:
    """A stack of a copy of the tree below `folder`."""
    tree = folder / f"tree-{stack}"
    for name in TREE:
        shutil.copytree(ROOT / name, tree / name)
    for path in ROOT.glob("Pulumi*.yaml"):
        shutil.copy2(path, tree)
    (tree / ".venv").symlink_to(sys.prefix)
    return Deployment(tree, folder / f"home-{stack}", modal.client_env(), stack)


@pytest.fixture
def deployment(new_deployment: NewDeployment) -> Deployment:
    """The stack `local`, not deployed yet."""
    return new_deployment()
