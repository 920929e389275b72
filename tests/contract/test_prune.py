"""Collection: what no deployment needs goes, whatever a live one needs stays, and it is said what was freed."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import modal
import pytest

from tests.contract.conftest import REAL, LocalModal, connected

pytestmark = pytest.mark.skipif(REAL, reason="NOT RUN on Modal itself: tests local Modal's own program")
APP = """
import modal

app = modal.App("kept")
image = modal.Image.debian_slim(python_version="3.11").env({"RELEASE": "VERSION"})


@app.cls(image=image, timeout=60, single_use_containers=True, enable_memory_snapshot=True)
class Box:
    name: str = modal.parameter()

    @modal.method()
    def version(self):
        return "VERSION"
"""
AGED = ("functions", "definitions", "bound_functions", "mounts", "images")
COUNTED = ("apps", "deployments", *AGED)


@pytest.fixture
def alone(own: LocalModal, tmp_path: Path) -> LocalModal:
    """A control plane with images of its own, so that what it deletes is nobody else's; one deployment is kept."""
    settings = {"LOCAL_MODAL_CACHE": str(tmp_path / "cache"), "LOCAL_MODAL_KEEP_VERSIONS": "1"}
    local = LocalModal(own.home, {**own.settings, **settings})
    local.start()
    return local


def deploy(local: LocalModal, version: str, folder: Path) -> None:
    (folder / "kept_app.py").write_text(APP.replace("VERSION", version))
    client(local, folder, "deploy", "kept_app.py")


def client(local: LocalModal, folder: Path, *arguments: str) -> str:
    """What the client's own command says."""
    command = [sys.executable, "-m", "modal", *arguments]
    environment = {**os.environ, **local.client_env()}
    return subprocess.run(
        command, env=environment, cwd=folder, check=True, capture_output=True, text=True, timeout=100
    ).stdout


def version_of(local: LocalModal, name: str) -> str:
    variables = local.client_env()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODAL_SERVER_URL", variables["MODAL_SERVER_URL"])
        with connected(variables["MODAL_TOKEN_ID"], variables["MODAL_TOKEN_SECRET"]) as client:
            cls = modal.Cls.from_name("kept", "Box", environment_name="main", client=client)
            answer: str = cls(name=name).version.remote()
    return answer


def rows(local: LocalModal) -> dict[str, int]:
    with closing(sqlite3.connect(local.home / "store.sqlite3")) as store:
        return {table: store.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in COUNTED}  # noqa: S608


def files(local: LocalModal) -> dict[str, int]:
    folders = {name: local.home / name for name in ("files", "layouts")}
    folders["images"] = Path(local.settings["LOCAL_MODAL_CACHE"]) / "images"
    return {name: len(list(folder.iterdir())) for name, folder in folders.items()}


def test_pruning_leaves_what_the_live_deployment_needs_and_nothing_else(alone: LocalModal, tmp_path: Path) -> None:
    for version in ("one", "two"):
        deploy(alone, version, tmp_path)
        assert version_of(alone, "a") == version
    before, before_files = rows(alone), files(alone)
    alone.run("stop")
    said = alone.run("prune", "--days", "0").stdout
    assert said.startswith("freed: 1 deployments, 1 definitions, 1 instances")
    assert "MB" in said
    after, after_files = rows(alone), files(alone)
    assert after == {**before, "deployments": 1, "definitions": 1, "bound_functions": 0, "mounts": 2, "images": 2}
    assert after_files == {name: count - 1 for name, count in before_files.items()}
    assert alone.run("prune", "--days", "0").stdout == "freed: nothing\n"
    alone.start()
    assert version_of(alone, "a") == "two"


def test_a_stopped_app_goes_with_all_that_was_its_own(alone: LocalModal, tmp_path: Path) -> None:
    deploy(alone, "one", tmp_path)
    client(alone, tmp_path, "app", "stop", "kept", "--yes")
    alone.run("stop")
    assert "1 stopped apps" in alone.run("prune", "--days", "0").stdout
    assert set(rows(alone).values()) == {0}
    assert set(files(alone).values()) == {0}


def test_a_start_collects_what_was_unused_for_long(alone: LocalModal, tmp_path: Path) -> None:
    for version in ("one", "two"):
        deploy(alone, version, tmp_path)
    alone.run("stop")
    with closing(sqlite3.connect(alone.home / "store.sqlite3")) as store:
        for table in AGED:
            store.execute(f"UPDATE {table} SET used_at = 1")  # noqa: S608
        store.commit()
    for folder in (alone.home / "files", alone.home / "layouts", Path(alone.settings["LOCAL_MODAL_CACHE"]) / "images"):
        for path in folder.iterdir():
            os.utime(path, (1, 1))
    alone.start()
    end = time.monotonic() + 30
    while "freed: " not in alone.log:
        assert time.monotonic() < end
    assert rows(alone)["definitions"] == 1
    assert version_of(alone, "a") == "two"


def test_what_runs_is_not_pruned_of_what_was_made_today(alone: LocalModal, tmp_path: Path) -> None:
    deploy(alone, "one", tmp_path)
    refused = alone.run("prune", "--days", "0", check=False)
    assert refused.returncode == 1
    assert "local-modal stop" in refused.stderr
    assert alone.run("prune", "--days", "1").stdout == "freed: nothing\n"
    assert version_of(alone, "a") == "one"


@pytest.mark.parametrize(("name", "value"), [("DAYS", "soon"), ("VERSIONS", "0")])
def test_a_wrong_retention_is_named_with_what_is_allowed(own: LocalModal, name: str, value: str) -> None:
    variable = f"LOCAL_MODAL_KEEP_{name}"
    failed = LocalModal(own.home, {**own.settings, variable: value}).run("start", check=False)
    assert failed.returncode == 1
    assert f"{variable}={value!r}: must be a whole number" in failed.stderr
    assert "Traceback" not in failed.stderr
