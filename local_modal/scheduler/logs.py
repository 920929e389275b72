"""What containers print: read from their pipes, bounded, kept in the store, and told to those who follow."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace

from modal_proto import api_pb2

from local_modal.store.logs import LogLine, Logs

FLUSH_SECONDS = 0.1
READ_BYTES = 1 << 16


class LogWriter:
    """Gathers lines for a moment, writes them in one transaction, and wakes who waits for new ones."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._waiting: list[LogLine] = []
        self._timer: asyncio.TimerHandle | None = None
        self._written = asyncio.Event()

    def write(self, line: LogLine) -> None:
        """Take a line; it is in the store a moment later."""
        self._waiting.append(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._waiting = self._waiting, []
        if lines:
            self._logs.append(joined(lines))
            self._written.set()
            self._written = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Until something was written, at most for `seconds`."""
        try:
            await asyncio.wait_for(self._written.wait(), seconds)
        except TimeoutError:
            return


def joined(lines: list[LogLine]) -> list[LogLine]:
    """The same text in fewer rows: pieces of one source are put together up to READ_BYTES, in the order they came.

    Rows are limited over all apps: a container that prints byte by byte would push everyone else's out.
    """
    rows: list[list[LogLine]] = []
    open_rows: dict[tuple[str, str, int], list[LogLine]] = {}
    room: dict[tuple[str, str, int], int] = {}
    for line in lines:
        whose = (line.task_id, line.input_id, line.source)
        if whose not in room or room[whose] < len(line.data):
            rows.append([])
            open_rows[whose], room[whose] = rows[-1], READ_BYTES
        open_rows[whose].append(line)
        room[whose] -= len(line.data)
    return [replace(row[0], data="".join(line.data for line in row)) for row in rows]


class LogPipe:
    """A container's output: the container holds the write end, `context` says whose it is when a line comes."""

    def __init__(self, writer: LogWriter, context: Callable[[], LogLine], max_bytes: int) -> None:
        self._writer = writer
        self._context = context
        self._left = max_bytes
        self._dropped = 0
        self._read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.write_fd, True)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read_fd, self._read)
        self._open = True

    def close_write(self) -> None:
        """The container has its own copy of the write end; with ours open the pipe would never end."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def _read(self) -> bool:
        """Take what lies in the pipe; False when nothing more lies there now."""
        try:
            data = os.read(self._read_fd, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        kept = data[: self._left]
        self._left -= len(kept)
        self._dropped += len(data) - len(kept)
        if kept:
            self._write(kept.decode(errors="replace"), api_pb2.FILE_DESCRIPTOR_STDOUT)
        return True

    def _write(self, text: str, source: int) -> None:
        self._writer.write(replace(self._context(), data=text, source=source, timestamp=time.time()))

    def close(self) -> None:
        """Read what is left, and say how much was dropped."""
        if not self._open:
            return
        self._open = False
        self.close_write()
        self._loop.remove_reader(self._read_fd)
        os.close(self._read_fd)
        if self._dropped:
            self._write(f"[{self._dropped} bytes of output dropped]\n", api_pb2.FILE_DESCRIPTOR_INFO)

    def drain_and_close(self) -> None:
        """For a container that has ended: nothing more can come than what lies in the pipe."""
        while self._open and self._read():
            pass
        self.close()
