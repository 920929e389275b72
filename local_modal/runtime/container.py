"""A single-use container as the control plane holds it: a pidfd, and the pipe that lets it go on."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import signal
from pathlib import Path

from local_modal.runtime.spec import ExitStatus

ASSIGNMENT_BYTES = 1 << 20
"""Most that the assignment (class parameters, base64) may measure: what a pipe holds, since nobody waits."""


class Container:
    """One forked process; it runs one input at most and is never used again.

    `exited` never fails; its result is how the process ended.
    """

    def __init__(self, task_id: str, pidfd: int, assign_fd: int | None) -> None:
        self.task_id = task_id
        self.pid = _pid_behind(pidfd)
        self.exited: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._pidfd: int | None = pidfd
        self._assign_fd = assign_fd

    def __repr__(self) -> str:
        return f"<Container {self.task_id} pid {self.pid}>"

    def assign(self, function_id: str, serialized_params: bytes) -> None:
        """Let it run for this bound function: it then asks for its input. At most once; no-op on a direct container.

        Raises:
            ValueError: the parameters are larger than ASSIGNMENT_BYTES.
        """
        if self._assign_fd is None:
            return
        params = base64.b64encode(serialized_params).decode()
        data = json.dumps({"function_id": function_id, "params": params}).encode()
        if len(data) > ASSIGNMENT_BYTES:
            raise ValueError(f"class parameters of {len(serialized_params)} bytes are too large for a container")
        descriptor, self._assign_fd = self._assign_fd, None
        try:
            if len(data) > fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, ASSIGNMENT_BYTES)
            with contextlib.suppress(BrokenPipeError):
                os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def kill(self) -> None:
        """End it now. Does nothing where it has ended."""
        if self._pidfd is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def watch(self) -> None:
        """Nobody will report its end any more: it is seen when the kernel tells."""
        if self._pidfd is not None:
            asyncio.get_running_loop().add_reader(self._pidfd, self.ended, ExitStatus(None, None))

    def ended(self, status: ExitStatus) -> None:
        """Called by its zygote once it was reaped, or once nothing of the zygote is left."""
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
        for descriptor in (self._pidfd, self._assign_fd):
            if descriptor is not None:
                os.close(descriptor)
        self._pidfd = self._assign_fd = None
        if not self.exited.done():
            self.exited.set_result(status)


def _pid_behind(pidfd: int) -> int:
    """The pid in our own pid namespace; -1 where the process is gone."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "Pid":
            return int(value)
    raise ValueError("the descriptor that came for a container isn't a pidfd")
