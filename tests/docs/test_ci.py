"""`make ci`: every stage is a target, all of them run, and one failure is enough."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_makefile import ROOT, make, targets

FULL_ONLY = {"fuzz", "load", "chaos"}
"""Folders of tests that have a target of their own, which only `make ci-full` runs."""


def run_stages(tmp_path: Path, failing: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The stages with a `make` that runs nothing, says what some variables hold, and fails for one target."""
    program = tmp_path / "make"
    program.write_text(f'#!/bin/sh\necho "make $*: $TEST_KILLS $HYPOTHESIS_PROFILE"\n[ "$*" != "{failing}" ]\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    return subprocess.run(
        [ROOT / ".ci" / "stages", *options],
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
    assert set(commands) == {"setup", "lint", "test", "test-docker", "test-clients", "deploy", "policy"}
    assert set(commands) <= targets()


def test_every_folder_of_tests_has_a_stage_of_its_own(tmp_path: Path) -> None:
    folders = {path.parent.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    stages = table(run_stages(tmp_path, "none").stdout)
    assert {name.removeprefix("test ") for name in stages if name.startswith("test ")} == folders - FULL_ONLY


def test_the_full_run_is_the_same_with_fuzz_load_and_chaos(tmp_path: Path) -> None:
    short, full = run_stages(tmp_path, "none"), run_stages(tmp_path, "none", "full")
    assert list(table(full.stdout)) == [*table(short.stdout), "fuzz", "load", "chaos"]
    assert make("--dry-run", "ci-full").stdout.strip() == ".ci/stages full"


def test_the_tests_alone_are_the_same_folders_and_start_no_engine(tmp_path: Path) -> None:
    whole, alone = run_stages(tmp_path, "none"), run_stages(tmp_path, "none", "test")
    assert list(table(alone.stdout))[2:] == [name for name in table(whole.stdout) if name.startswith("test ")]
    assert "test-docker" not in alone.stdout
    assert make("--dry-run", "test").stdout.strip().endswith(".ci/stages test")
    assert run_stages(tmp_path, "test ARGS=tests/docs/ --durations=5", "test").returncode == 1


def test_all_clients_and_files_are_tested_unless_it_must_be_quick() -> None:
    assert "--quick" not in make("--dry-run", "test-clients").stdout
    assert "--quick" in make("--dry-run", "test-clients", "QUICK=1").stdout


def test_in_the_full_run_more_is_killed_and_generated_unless_the_user_says_how_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_KILLS", raising=False)
    monkeypatch.setenv("HYPOTHESIS_PROFILE", "mine")
    assert "make test ARGS=tests/docs/ --durations=5: 24 mine\n" in run_stages(tmp_path, "none", "full").stdout
    assert "make test ARGS=tests/docs/ --durations=5:  mine\n" in run_stages(tmp_path, "none").stdout


def test_tests_of_a_time_of_their_own_run_only_where_they_are_named() -> None:
    others = [path for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name not in FULL_ONLY]

    def collected(*arguments: str) -> str:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments]
        ignored = [f"--ignore={path}" for path in others]
        return subprocess.run([*command, *ignored], cwd=ROOT, capture_output=True, text=True, check=False).stdout

    assert "tests/load" not in collected("tests")
    assert "tests/load/test_load.py::test_no_call_fails" in collected("tests/load")
    assert "tests/chaos/test_chaos.py::" in collected("tests/chaos/test_chaos.py")


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


@pytest.mark.parametrize(("ci", "status"), [("true", 5), ("", 0)])
def test_a_run_that_skipped_every_test_is_a_failure_in_ci(tmp_path: Path, ci: str, status: int) -> None:
    skipped = tmp_path / "test_skipped.py"
    skipped.write_text("import pytest\n\n\ndef test_of_nothing() -> None:\n    pytest.skip('NOT RUN')\n")
    command = [sys.executable, "-m", "pytest", str(skipped), f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml")]
    environment = {**os.environ, "CI": ci}
    done = subprocess.run(
        [*command, "-p", "tests.conftest"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert "1 skipped" in done.stdout
    assert done.returncode == status
