"""The plug-in of pytest as others have it: installed from a wheel, found by its entry point, run on docs/testing.md."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"
HEAVY = ("modal", "grpclib", "aiohttp", "cryptography", "docker", "testcontainers", "local_modal.settings")
"""What a start of pytest must not wait for in a project that doesn't use the fixtures in this run."""


def snippet(name: str) -> str:
    """The code of the page that is to be executed under that name."""
    found = re.search(rf"<!-- executed: {re.escape(name)} -->\n```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found, f"docs/testing.md has no code for {name}"
    return found[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as `pip install` builds it."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("requirements", "local_modal", "modal_app"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".lock*"))
    uv = Path(sys.executable).with_name("uv")
    command: list[str | Path] = [uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--out-dir", made, source]
    subprocess.run(command, env={**os.environ, "VIRTUAL_ENV": sys.prefix}, check=True)
    (built,) = made.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed in; with it on the path, entry points and commands are those of users."""
    folder = tmp_path_factory.mktemp("installed")
    uv = Path(sys.executable).with_name("uv")
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--python",
        sys.executable,
        "--target",
        folder,
        wheel,
    ]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: Path) -> Path:
    """Another project's folder. Its user is logged in to a Modal that must never hear of these tests."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setenv("MODAL_SERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MODAL_TOKEN_ID", "ak-of-the-account")
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-of-the-account")
    return tmp_path


def run_pytest(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=110)


def test_the_wheel_has_the_command_the_plug_in_and_the_seccomp_profile(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (points,) = (name for name in names if name.endswith("entry_points.txt"))
        declared = archive.read(points).decode()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        extras = re.findall(r"^Requires-Dist: (\w+).*extra == .testing.", archive.read(metadata).decode(), re.MULTILINE)
    assert "local-modal = local_modal.cli:main" in declared
    assert "[pytest11]\nlocal-modal = local_modal.testing.plugin" in declared
    assert "local_modal/testing/seccomp.json" in names
    assert sorted(extras) == ["pytest", "testcontainers"]
    assert not [name for name in names if name.startswith(("tests/", "infra/", "docker/"))]


def test_the_installed_command_runs(installed: Path, project: Path) -> None:
    environment = {**os.environ, "LOCAL_MODAL_HOME": str(project / "home")}
    command: list[str | Path] = [sys.executable, installed / "bin" / "local-modal", "env"]
    done = subprocess.run(command, env=environment, cwd=project, capture_output=True, text=True, check=True)
    assert "export MODAL_TOKEN_ID=ak-" in done.stdout


@pytest.mark.parametrize("own_fixture", [False, True], ids=["as-it-is", "with-the-conftest"])
def test_what_the_page_shows_passes(project: Path, own_fixture: bool) -> None:
    (project / "test_greeter.py").write_text(snippet("test_greeter.py"))
    if own_fixture:
        (project / "conftest.py").write_text(snippet("conftest.py"))
    done = run_pytest(project)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_each_test_has_an_environment_that_is_gone_after_it(project: Path) -> None:
    (project / "test_environments.py").write_text(
        "import modal\n"
        "names = []\n"
        "def existing():\n"
        "    return {made.name for made in modal.Environment.objects.list()}\n"
        "def test_one(modal_environment):\n"
        "    assert modal_environment in existing()\n"
        "    names.append(modal_environment)\n"
        "def test_another(modal_environment):\n"
        "    assert names and modal_environment not in names\n"
        "    assert not set(names) & existing()\n"
    )
    done = run_pytest(project)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_client_that_was_connected_to_an_account_is_not_used_and_stays_as_it_was(project: Path) -> None:
    (project / "test_account.py").write_text(
        "import os, modal\n"
        "from modal.client import _Client\n"
        "class Account: server_url = 'http://127.0.0.1:9'\n"
        "def test_without():\n"
        "    _Client._client_from_env = Account\n"
        "def test_with(modal_environment, local_modal):\n"
        "    assert _Client._client_from_env.server_url == local_modal.get_url()\n"
        "def test_after():\n"
        "    assert _Client._client_from_env is Account\n"
        "    assert os.environ['MODAL_TOKEN_ID'] == 'ak-of-the-account'\n"
    )
    done = run_pytest(project, "-p", "no:randomly")
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_nothing_heavy_is_imported_at_the_start_of_pytest(project: Path) -> None:
    (project / "test_light.py").write_text(
        f"import sys\ndef test_it():\n    assert 'local_modal.testing.plugin' in sys.modules\n"
        f"    assert [name for name in {HEAVY!r} if name in sys.modules] == []\n"
    )
    done = run_pytest(project)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_what_keeps_local_modal_from_starting_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_MODAL_ALLOW_MISSING", "walls")
    (project / "test_greeter.py").write_text(snippet("test_greeter.py"))
    done = run_pytest(project)
    assert "no such isolation layer: walls" in done.stdout
    assert "2 errors" in done.stdout
