"""`make ci`: every stage is a target, all of them run, and one failure is enough."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.test_makefile import ROOT, make, targets


def run_stages(tmp_path: Path, failing: str) -> subprocess.CompletedProcess[str]:
    """The stages with a `make` that runs nothing and fails for one target."""
    program = tmp_path / "make"
    program.write_text(f'#!/bin/sh\n[ "$*" != "{failing}" ]\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    return subprocess.run(
        [ROOT / ".ci" / "stages"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def table(output: str) -> dict[str, str]:
    """Stage to verdict, out of the table at the end."""
    return dict(re.findall(r"^(\S.*?) +\d+\.\d s  (.+)$", output.partition("=== stages")[2], re.MULTILINE))


def test_every_stage_is_a_make_target(tmp_path: Path) -> None:
    commands = re.findall(r"^=== [^:]+: make ([a-z-]+)", run_stages(tmp_path, "none").stdout, re.MULTILINE)
    assert set(commands) == {"setup", "lint", "test", "deploy", "policy"}
    assert set(commands) <= targets()


def test_every_folder_of_tests_has_a_stage_of_its_own(tmp_path: Path) -> None:
    folders = {path.parent.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    stages = table(run_stages(tmp_path, "none").stdout)
    assert {name.removeprefix("test ") for name in stages if name.startswith("test ")} == folders


def test_all_stages_passing_is_success(tmp_path: Path) -> None:
    result = run_stages(tmp_path, "none")
    assert result.returncode == 0
    assert set(table(result.stdout).values()) == {"✓"}


@pytest.mark.parametrize("failing", ["lint", "deploy", "test ARGS=tests/docs/ --durations=5"])
def test_a_failing_stage_fails_the_whole_and_the_others_still_run(tmp_path: Path, failing: str) -> None:
    result = run_stages(tmp_path, failing)
    verdicts = table(result.stdout)
    assert result.returncode == 1
    assert "✗ exit 1" in verdicts.values()
    assert verdicts.keys() == table(run_stages(tmp_path, "none").stdout).keys()


def test_nothing_runs_without_a_set_up(tmp_path: Path) -> None:
    result = run_stages(tmp_path, "setup")
    assert result.returncode == 1
    assert table(result.stdout) == {"setup": "✗ exit 1"}


def test_its_state_folder_is_gone_at_the_end(tmp_path: Path) -> None:
    run_stages(tmp_path, "none")
    assert [path.name for path in tmp_path.iterdir()] == ["make"]


def test_a_run_without_a_single_test_is_a_failure(tmp_path: Path) -> None:
    result = make("test", f"ARGS={tmp_path} --rootdir={ROOT} -c {ROOT / 'pyproject.toml'}")
    assert result.returncode != 0
    assert "no tests ran" in result.stdout
