"""Output of containers, from their pipe to the store."""

import os
from pathlib import Path

import pytest

from local_modal.scheduler.logs import LogPipe, LogWriter
from local_modal.store.database import Database
from local_modal.store.logs import LogFilter, LogLine, Logs

LINE = LogLine("ap-1", "fu-1", "ta-1", "", "", 0, 0.0, "")


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(Database(tmp_path / "store"), rows=100)


def kept(logs: Logs) -> str:
    return "".join(line.data for line in logs.after(LogFilter("ap-1"), 0))


async def test_what_is_printed_arrives_with_its_container(logs: Logs) -> None:
    writer = LogWriter(logs)
    pipe = LogPipe(writer, lambda: LINE, max_bytes=100)
    os.write(pipe.write_fd, "grüße\n".encode())
    await writer.wait(5)
    assert [(line.task_id, line.data) for line in logs.after(LogFilter("ap-1"), 0)] == [("ta-1", "grüße\n")]
    pipe.close()


async def test_what_is_over_the_bound_is_counted_and_not_kept(logs: Logs) -> None:
    writer = LogWriter(logs)
    pipe = LogPipe(writer, lambda: LINE, max_bytes=10)
    os.write(pipe.write_fd, b"0123456789abcdef")
    pipe.drain_and_close()
    writer.flush()
    assert kept(logs) == "0123456789[6 bytes of output dropped]\n"


async def test_what_lies_in_the_pipe_when_its_container_ends_is_kept(logs: Logs) -> None:
    writer = LogWriter(logs)
    pipe = LogPipe(writer, lambda: LINE, max_bytes=1 << 20)
    os.write(pipe.write_fd, b"x" * 40_000)
    pipe.close_write()
    pipe.drain_and_close()
    pipe.drain_and_close()
    writer.flush()
    assert len(kept(logs)) == 40_000
