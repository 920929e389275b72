"""requirements/install.sh: what it refuses, and that an interrupted run leaves nothing that counts as complete."""

import os
import re
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "requirements"
SMALL_LIST = FOLDER / "requirements.uv.txt"


def install(venv: Path, packages: Path = SMALL_LIST, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [FOLDER / "install.sh", venv, venv / ".ready", packages]
    return subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def program(path: Path, output: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("missing", ["python3.11-is-not-here", "/nowhere/bin/python3.11"])
def test_without_python_it_says_what_to_install(tmp_path: Path, missing: str) -> None:
    result = install(tmp_path / "venv", PYTHON=missing)
    assert result.returncode == 1
    assert result.stderr.startswith(f"set-up: {missing} is not on PATH; install Python 3.11")
    assert not (tmp_path / "venv").exists()


def test_another_python_version_is_refused_by_name(tmp_path: Path) -> None:
    result = install(tmp_path / "venv", PYTHON=program(tmp_path / "python", "3.12"))
    assert result.returncode == 1
    assert "is Python 3.12; the engine and the image need 3.11" in result.stderr


@pytest.mark.parametrize("least", ["1000000", "ten"])
def test_too_little_disk_is_refused_before_anything_is_written(tmp_path: Path, least: str) -> None:
    result = install(tmp_path / "venv", MIN_FREE_GB=least)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert f"GB are free here and about {least} are needed" in line
    assert not (tmp_path / "venv").exists()


def test_a_platform_without_pinned_packages_is_refused_by_name(tmp_path: Path) -> None:
    program(tmp_path / "uname", "Darwin arm64")
    result = install(tmp_path / "venv", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.returncode == 1
    assert result.stderr == "set-up: the pinned packages are those of Linux x86_64; this is Darwin arm64\n"


def test_what_an_interrupted_run_left_is_made_anew(tmp_path: Path) -> None:
    leftover = tmp_path / "venv" / "lib" / "half-written.py"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    result = install(tmp_path / "venv")
    assert result.returncode == 0, result.stderr
    assert not leftover.exists()
    assert (tmp_path / "venv" / "bin" / "uv").exists()
    assert (tmp_path / "venv" / ".ready").exists()


def test_an_environment_loses_its_stamp_before_it_changes(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / ".ready").touch()
    program(venv / "bin" / "python", "no packages today")
    (venv / "bin" / "uv").symlink_to("/bin/false")
    result = install(venv)
    assert result.returncode != 0
    assert "from nothing" not in result.stdout
    assert not (venv / ".ready").exists()


def test_it_says_what_it_does_and_how_long_it_took_and_not_each_package(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    pin = re.search(r"^iniconfig==(?:.*\\\n)+.*\n", (FOLDER / "requirements.dev.txt").read_text(), re.MULTILINE)
    assert pin
    listed.write_text(SMALL_LIST.read_text() + pin[0])
    result = install(tmp_path / "venv", listed)
    assert result.returncode == 0, result.stderr
    assert "installing 2 pinned packages" in result.stdout
    assert re.search(r"^set-up: done, \d+ s$", result.stdout, re.MULTILINE)
    assert re.search(r"^Installed 1 package ", result.stderr, re.MULTILINE)
    assert "iniconfig" not in result.stderr


def test_a_package_whose_hash_differs_is_refused(tmp_path: Path) -> None:
    altered = tmp_path / "list.txt"
    pin = re.search(r"^iniconfig==\S+", (FOLDER / "requirements.dev.txt").read_text(), re.MULTILINE)
    assert pin
    altered.write_text(f"{pin[0]} --hash=sha256:{'0' * 64}\n")
    result = install(tmp_path / "venv", altered)
    assert result.returncode != 0
    assert "Hash mismatch" in result.stderr
    assert not (tmp_path / "venv" / ".ready").exists()
