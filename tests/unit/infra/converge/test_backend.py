"""Locks and checkpoints of a file backend, as the Pulumi CLI writes them."""

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.converge.backend import FileBackend, Holder
from infra.converge.errors import ConvergeError

NOW = datetime.now(UTC)


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    return FileBackend(tmp_path, "project", "local")


def write_lock(
    backend: FileBackend, pid: int, hostname: str = socket.gethostname(), since: datetime = NOW, name: str = "1"
) -> Path:
    path = backend.folder / ".pulumi" / "locks" / "organization" / "project" / "local" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    timestamp = since.isoformat().replace("+00:00", "123Z")
    path.write_text(json.dumps({"pid": pid, "username": "ann", "hostname": hostname, "timestamp": timestamp}))
    return path


def write_checkpoint(backend: FileBackend, text: str) -> None:
    path = backend.folder / ".pulumi" / "stacks" / "project" / "local.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_a_stack_that_nobody_holds_has_no_lock(backend: FileBackend) -> None:
    assert backend.locks() == []


def test_a_running_process_of_this_machine_is_a_live_holder(backend: FileBackend) -> None:
    write_lock(backend, os.getpid(), since=datetime.now(UTC))
    (lock,) = backend.locks()
    assert lock.holder is Holder.LIVE
    assert str(lock).startswith(f"pid {os.getpid()} of ann@{socket.gethostname()}, since 20")


def test_a_process_that_is_gone_is_a_dead_holder(backend: FileBackend) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    write_lock(backend, process.pid)
    assert backend.locks()[0].holder is Holder.DEAD


def test_a_process_that_only_its_parent_remembers_is_a_dead_holder(backend: FileBackend) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    write_lock(backend, process.pid, since=datetime.now(UTC))
    assert backend.locks()[0].holder is Holder.DEAD
    process.wait()


def test_a_number_that_was_given_to_a_later_process_is_a_dead_holder(backend: FileBackend) -> None:
    write_lock(backend, os.getpid(), since=NOW - timedelta(days=1))
    assert backend.locks()[0].holder is Holder.DEAD


def test_of_another_machine_nothing_is_known(backend: FileBackend) -> None:
    write_lock(backend, os.getpid(), hostname="elsewhere")
    assert backend.locks()[0].holder is Holder.ELSEWHERE


def test_every_lock_is_told(backend: FileBackend) -> None:
    write_lock(backend, 1, name="1")
    write_lock(backend, 2, name="2")
    assert [lock.pid for lock in backend.locks()] == [1, 2]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"pid": "x"}', '{"pid":1,"hostname":"a","username":"b","timestamp":"?"}']
)
def test_what_is_no_lock_is_named(backend: FileBackend, content: str) -> None:
    path = write_lock(backend, 1)
    path.write_text(content)
    with pytest.raises(ConvergeError, match=str(path)):
        backend.locks()


def test_a_stack_that_was_never_made_has_no_checkpoint(backend: FileBackend) -> None:
    assert backend.latest() is None


def test_a_stack_without_a_deployment_is_empty(backend: FileBackend) -> None:
    write_checkpoint(backend, '{"version": 3, "checkpoint": {"stack": "s"}}')
    assert backend.latest() == {}


def test_the_latest_deployment_is_what_the_checkpoint_holds(backend: FileBackend) -> None:
    write_checkpoint(backend, '{"version": 3, "checkpoint": {"latest": {"pending_operations": [1]}}}')
    assert backend.latest() == {"pending_operations": [1]}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"checkpoint": {"latest": 3}}'])
def test_what_is_no_checkpoint_is_an_error(backend: FileBackend, text: str) -> None:
    write_checkpoint(backend, text)
    with pytest.raises(ConvergeError, match="no checkpoint"):
        backend.latest()
