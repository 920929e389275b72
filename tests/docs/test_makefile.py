"""The Makefile as its user sees it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INTERNAL = {"force"}


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As a person runs it: what another `make` around the tests was given doesn't hold."""
    around = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS"}
    environment = {name: value for name, value in os.environ.items() if name not in around}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def targets() -> set[str]:
    """Every phony target that a person may call."""
    return set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)) - INTERNAL


def test_make_alone_prints_every_target_on_a_line_of_its_own() -> None:
    result = make()
    listed = re.findall(r"^  make ([a-z-]+) +\S.*$", result.stdout, re.MULTILINE)
    assert result.returncode == 0
    assert len(listed) == len(set(listed))
    assert set(listed) == targets()
    assert max(len(line) for line in result.stdout.splitlines()) <= 100


def test_every_listed_target_has_a_recipe_that_make_can_plan() -> None:
    for target in sorted(targets() - {"ci", "ci-full"}):
        result = make("--dry-run", target)
        assert result.returncode == 0, f"{target}: {result.stderr}"


def test_an_old_make_is_told_what_is_needed() -> None:
    result = make("MAKE_VERSION=3.81", "help")
    assert result.returncode != 0
    assert "GNU make 4 or newer is needed, this is 3.81" in result.stderr


def test_another_stack_leaves_local_modal_alone() -> None:
    local, other = make("--dry-run", "deploy").stdout, make("--dry-run", "deploy", "STACK=staging").stdout
    assert "-m local_modal" in local
    assert "-m local_modal" not in other
    assert "-m infra.converge up --stack local" in local
    assert "-m infra.converge up --stack staging" in other


def test_without_local_credentials_nothing_is_deployed_anywhere(tmp_path: Path) -> None:
    """The user's own account must not stand in for local Modal."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@" >>"$0.log"\n[ "$3" != env ] && echo 1\n')
    python.chmod(0o755)
    (tmp_path / ".ready").touch()
    result = make("deploy", f"VENV={tmp_path}", f"PY={python}", f"READY={tmp_path / '.ready'}", "LISTS=")
    ran = python.with_suffix(".log").read_text().splitlines()
    assert result.returncode != 0
    assert "-m local_modal env" in ran
    assert not [line for line in ran if "modal_app" in line or "infra" in line]


def test_the_users_python_variables_do_not_reach_a_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("SSL_CERT_FILE", "/certificates.pem")
    environment = make("--eval=show: ; @env", "show").stdout
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert "PYTHONPATH" not in environment
    assert "PYTHONHOME" not in environment
    assert "SSL_CERT_FILE=/certificates.pem" in environment
