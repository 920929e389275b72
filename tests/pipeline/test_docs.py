"""The commands of the documentation, run as they stand there, page by page, in a copy of the tree.

A local Modal of the test's own is this machine's for `<!-- run: local -->`, and stands in for the account otherwise.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contract.conftest import LocalModal
from tests.docs.commands import PAGES, ROOT, Block, blocks
from tests.pipeline.conftest import SECONDS
from tests.working_copy import PROJECT, working_copy

pytestmark = pytest.mark.timeout(1800)
HELD = 75
LIMIT = 5
"""Seconds for a block, for which each smoke test waits."""


class Reader:
    """Who follows a page: a checkout, a home, and Modal as the variables say."""

    def __init__(self, folder: Path, modal: LocalModal, where: str) -> None:
        self.tree, self.home = working_copy(folder), folder / "home"
        self.stack = "local" if where == "local" else "staging"
        self.home.mkdir()
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(("PULUMI_", "XDG_STATE"))}
        self.environ = {
            **inherited,
            "XDG_STATE_HOME": str(self.home / "state"),
            "PULUMI_HOME": str(self.home / "pulumi"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{
                f"GIT_{who}_{what}": "reader@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        if where == "local":
            self.environ |= {**modal.settings, "LOCAL_MODAL_HOME": str(modal.home)}
        else:
            (self.home / "backend").mkdir()
            backend = {
                "PULUMI_BACKEND_URL": (self.home / "backend").as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": "of-a-reader",
            }
            self.environ |= {**backend, **modal.client_env()}
            del self.environ["MODAL_ENVIRONMENT"]
        self.run("git init -q && git add Pulumi*.yaml && git commit -qm Stacks")
        self.configure("timeout", LIMIT)

    def run(self, commands: str, status: int = 0) -> str:
        """What commands print; the first one that fails ends them."""
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", commands],
            cwd=self.tree,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == status, f"{commands}\nexit status {done.returncode}\n{done.stdout}"
        return done.stdout

    def configure(self, key: str, value: int) -> None:
        path = self.tree / f"Pulumi.{self.stack}.yaml"
        kept = [line for line in path.read_text().splitlines() if f":{key}:" not in line]
        kept.insert(kept.index("config:") + 1, f"  {PROJECT}:{key}: {value}")
        path.write_text("\n".join(kept) + "\n")

    def deploy(self) -> None:
        self.run(f".venv/bin/python -m infra.converge up --stack {self.stack}")

    def deploy_a_change(self) -> None:
        self.configure("maxContainers", 50)
        self.deploy()

    def lose_the_state(self) -> None:
        shutil.rmtree(self.home / "backend")
        (self.home / "backend").mkdir()

    def leave_a_lock(self) -> None:
        """As a deployment on another machine that was killed; it holds the stack."""
        folder = self.home / "backend" / ".pulumi" / "locks" / "organization" / PROJECT / self.stack
        folder.mkdir(parents=True, exist_ok=True)
        since = datetime.now(UTC).isoformat()
        holder = {"pid": 1, "username": "someone", "hostname": "another-machine", "timestamp": since}
        (folder / "11111111-2222-3333-4444-555555555555.json").write_text(json.dumps(holder))
        said = self.run(f".venv/bin/python -m infra.converge up --stack {self.stack}", status=HELD)
        assert "is held by pid 1 of someone@another-machine" in said


FIRST: Mapping[str, Callable[[Reader], None]] = {
    "deploy": Reader.deploy,
    "deploy a change": Reader.deploy_a_change,
    "lose the state": Reader.lose_the_state,
    "leave a lock of another machine": Reader.leave_a_lock,
}
RUN: dict[tuple[Path, str], list[Block]] = {
    (page, block.where): [] for page in PAGES for block in blocks(page) if block.where
}
for each in (block for page in PAGES for block in blocks(page) if block.where):
    RUN[each.page, each.where].append(each)


@pytest.fixture(scope="session")
def pulumi_on_path() -> Path:
    """A folder with the CLI that the project gets, and its language host, for who types `pulumi`."""
    command = [sys.executable, "-m", "infra.toolchain"]
    cli = Path(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])
    return cli.parent


@pytest.fixture
def modal(tmp_path: Path) -> Iterator[LocalModal]:
    modal = LocalModal(tmp_path / "modal", {"LOCAL_MODAL_PORT": "0"})
    modal.start()
    yield modal
    modal.run("stop")


@pytest.mark.parametrize(("page", "where"), RUN, ids=lambda value: getattr(value, "name", value))
def test_the_commands_of_a_page_do_what_it_says(
    tmp_path: Path, modal: LocalModal, pulumi_on_path: Path, page: Path, where: str
) -> None:
    reader = Reader(tmp_path, modal, where)
    reader.environ["PATH"] = f"{reader.environ['PATH']}:{pulumi_on_path}"
    for block in RUN[page, where]:
        if block.first:
            FIRST[block.first](reader)
        said = reader.run(block.text)
        assert "✗" not in said, f"{block}\n{said}"
        assert block.unprinted(said) == [], f"{block}\n{said}"


def test_each_condition_is_one_that_can_be_made() -> None:
    found: list[Block] = [block for group in RUN.values() for block in group if block.first]
    assert {block.first for block in found} == set(FIRST)
