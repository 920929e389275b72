"""What containers print: read from their pipes, bounded, kept in the store, and told to those who follow."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace

from modal_proto import api_pb2

from local_modal.runtime.spec import Streams
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


class LogPipes:
    """A container's output: it holds the write ends, `context` says whose it is when something comes over either."""

    def __init__(self, writer: LogWriter, context: Callable[[], LogLine], max_bytes: int) -> None:
        """`max_bytes`: kept of both together."""
        self._writer = writer
        self._context = context
        self._left = max_bytes
        self._dropped = 0
        self._loop = asyncio.get_running_loop()
        self._sources: dict[int, int] = {}
        """Read end → which stream comes over it (FileDescriptor number), while it is open."""
        self.write_ends = Streams(
            self._open(api_pb2.FILE_DESCRIPTOR_STDOUT),
            self._open(api_pb2.FILE_DESCRIPTOR_STDERR),
        )
        self._writable = True

    def _open(self, source: int) -> int:
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(write_fd, True)
        self._sources[read_fd] = source
        self._loop.add_reader(read_fd, self._read, read_fd)
        return write_fd

    def close_write(self) -> None:
        """The container has its own copies of the write ends; with ours open the pipes would never end."""
        if self._writable:
            self._writable = False
            for descriptor in self.write_ends:
                os.close(descriptor)

    def _read(self, read_fd: int) -> bool:
        """Take what lies in a pipe; False when nothing more lies there now."""
        try:
            data = os.read(read_fd, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._end(read_fd)
            return False
        kept = data[: self._left]
        self._left -= len(kept)
        self._dropped += len(data) - len(kept)
        if kept:
            self._write(kept.decode(errors="replace"), self._sources[read_fd])
        return True

    def _write(self, text: str, source: int) -> None:
        self._writer.write(replace(self._context(), data=text, source=source, timestamp=time.time()))

    def _end(self, read_fd: int) -> None:
        """Nothing more comes over a pipe; after the last one it is said how much was dropped."""
        del self._sources[read_fd]
        self._loop.remove_reader(read_fd)
        os.close(read_fd)
        if not self._sources and self._dropped:
            self._write(f"[{self._dropped} bytes of output dropped]\n", api_pb2.FILE_DESCRIPTOR_INFO)

    def drain_and_close(self) -> None:
        """For a container that has ended: nothing more can come than what lies in the pipes."""
        self.close_write()
        for read_fd in list(self._sources):
            while read_fd in self._sources and self._read(read_fd):
                pass
            if read_fd in self._sources:
                self._end(read_fd)
