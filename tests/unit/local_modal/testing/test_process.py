"""Local Modal as a process of the tests: connected, refused in its own words, and gone without a trace."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from local_modal.errors import LocalModalError
from local_modal.testing import LocalModalProcess


def test_it_answers_inside_the_context_and_nothing_is_left_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with LocalModalProcess() as local:
        with urllib.request.urlopen(f"{local.get_url()}/health", timeout=30) as answer:  # noqa: S310 - its own
            assert answer.status == 200
        listed = modal_command(local, "environment", "list", "--json")
        assert '"main"' in listed.stdout
        assert "serving at" in local.get_logs()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(LocalModalError, match="not running"):
        local.get_url()
    with pytest.raises(LocalModalError, match="not running"):
        local.client_env()


def test_two_of_them_know_nothing_of_one_another() -> None:
    with LocalModalProcess() as one, LocalModalProcess() as other:
        assert one.get_url() != other.get_url()
        mixed = {**one.client_env(), "MODAL_SERVER_URL": other.get_url()}
        refused = modal_command(mixed, "environment", "list")
        assert refused.returncode != 0
        assert "The token is not this local Modal's" in " ".join((refused.stdout + refused.stderr).split())


def test_a_setting_reaches_it() -> None:
    with LocalModalProcess().with_setting("environment", "elsewhere") as local:
        assert local.client_env()["MODAL_ENVIRONMENT"] == "elsewhere"
        assert "elsewhere" in modal_command(local, "environment", "list", "--json").stdout


def test_a_wrong_setting_is_refused_before_anything_starts() -> None:
    with pytest.raises(LocalModalError, match="LOCAL_MODAL_PREFORK='many'"):
        LocalModalProcess().with_setting("prefork", "many").start()


def test_what_keeps_it_from_starting_is_said_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(LocalModalError, match=r"^no such isolation layer: walls"):
        LocalModalProcess().with_setting("allow_missing", "walls").start()
    assert list(tmp_path.iterdir()) == []


def test_it_ends_though_a_process_of_its_own_is_stopped() -> None:
    """SIGSTOP keeps it from hearing that it should end; what holds a machine's memory must go all the same."""
    local = LocalModalProcess(stop_seconds=0.5).start()
    process = local._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    local.stop()
    assert process.returncode == -signal.SIGKILL


def modal_command(local: LocalModalProcess | dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The unmodified client."""
    env = local if isinstance(local, dict) else local.client_env()
    command = [sys.executable, "-m", "modal", *arguments]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=60)
