"""pid 1 of a zygote's namespace: reaps, and ends when nothing is left that could fork containers.

Standard library only: runs in the image's interpreter too.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
from typing import NoReturn

PID = struct.Struct("=i")
"""How pid 1 is told of a process that can fork containers."""


def watch(second: int, alive: int, ctl: socket.socket) -> NoReturn:
    """Reaps orphans; ends with the control plane, or with the last of the launcher and the processes that announced on
    the pipe `alive` that they can take its place."""
    wake_read, wake_write = os.pipe()
    for descriptor in (alive, wake_read, wake_write):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(ctl, 0)
    poll.register(wake_read, select.POLLIN)
    poll.register(alive, select.POLLIN)
    members: set[int] = set()
    code: int | None = None
    while True:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                code = exit_code(ended[1]) if ended[0] == second else code
        with contextlib.suppress(BlockingIOError, OSError):
            while announced := os.read(alive, PID.size):
                with contextlib.suppress(ProcessLookupError):
                    members.add(os.pidfd_open(*PID.unpack(announced)))
        for member in members:
            poll.register(member, select.POLLIN)
        if code is not None and not members:
            os._exit(code)
        for descriptor, event in poll.poll():
            if descriptor == ctl.fileno():
                os._exit(0)
            if descriptor in members:
                members.remove(descriptor)
                poll.unregister(descriptor)
                os.close(descriptor)
            elif descriptor == wake_read:
                os.read(wake_read, 4096)
            elif not event & select.POLLIN:  # nobody is left to announce anything
                poll.unregister(alive)


def exit_code(status: int) -> int:
    """What a shell would say of a wait(2) status."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
