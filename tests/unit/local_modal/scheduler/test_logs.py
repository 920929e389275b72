"""Output of containers, from their pipe to the store."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from modal_proto import api_pb2

from local_modal.scheduler.logs import READ_BYTES, LogPipes, LogWriter, joined
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
    pipe = LogPipes(writer, lambda: LINE, max_bytes=100)
    os.write(pipe.write_ends.stdout, "grüße\n".encode())
    await writer.wait(5)
    assert [(line.task_id, line.data) for line in logs.after(LogFilter("ap-1"), 0)] == [("ta-1", "grüße\n")]
    pipe.drain_and_close()


async def test_what_is_over_the_bound_is_counted_and_not_kept(logs: Logs) -> None:
    writer = LogWriter(logs)
    pipe = LogPipes(writer, lambda: LINE, max_bytes=10)
    os.write(pipe.write_ends.stdout, b"0123456789abcdef")
    pipe.drain_and_close()
    writer.flush()
    assert kept(logs) == "0123456789[6 bytes of output dropped]\n"


async def test_each_stream_is_kept_under_its_name_and_both_have_one_bound(logs: Logs) -> None:
    writer = LogWriter(logs)
    pipe = LogPipes(writer, lambda: LINE, max_bytes=10)
    os.write(pipe.write_ends.stdout, b"0123")
    os.write(pipe.write_ends.stderr, b"abcdefgh")
    pipe.drain_and_close()
    writer.flush()
    by_source = {line.source: line.data for line in logs.after(LogFilter("ap-1"), 0)}
    assert by_source == {
        api_pb2.FILE_DESCRIPTOR_STDOUT: "0123",
        api_pb2.FILE_DESCRIPTOR_STDERR: "abcdef",
        api_pb2.FILE_DESCRIPTOR_INFO: "[2 bytes of output dropped]\n",
    }


async def test_what_lies_in_the_pipe_when_its_container_ends_is_kept(logs: Logs) -> None:
    writer = LogWriter(logs)
    pipe = LogPipes(writer, lambda: LINE, max_bytes=1 << 20)
    os.write(pipe.write_ends.stdout, b"x" * 40_000)
    pipe.close_write()
    pipe.drain_and_close()
    pipe.drain_and_close()
    writer.flush()
    assert len(kept(logs)) == 40_000


def test_pieces_of_one_source_become_few_rows_that_keep_their_order() -> None:
    pieces = [replace(LINE, task_id=task, data=f"{task}{number} ") for number in range(3) for task in ("a", "b")]
    assert [(row.task_id, row.data) for row in joined(pieces)] == [("a", "a0 a1 a2 "), ("b", "b0 b1 b2 ")]
    assert joined([replace(LINE, data="")]) == [LINE]


def test_a_row_does_not_grow_beyond_what_is_read_at_once() -> None:
    pieces = [replace(LINE, data="x" * (READ_BYTES // 2 + 1)) for _ in range(3)]
    assert [len(row.data) for row in joined(pieces)] == [READ_BYTES // 2 + 1] * 3
