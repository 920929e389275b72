"""Serves fork requests on the control socket: one request, one child that is pid 1 of a fresh pid namespace.

The process at the snapshot point doesn't serve: it stands by, and a fork of it, the server, does. When the server dies,
the one that stands by forks another, and nothing is imported again; when the one that stands by dies, the server forks
a server of its own and stands by from then on. A server that has had nothing to do for long ends, until it is needed.

Messages are JSON over SOCK_SEQPACKET. Request: {"fork": task id, "state": {...}} with the descriptors of the
connection, stdout, stderr and the assign pipe; "more" names those that follow: "payload" (payload.py), or "ctl",
the control socket of a child that is to be a zygote itself.
Replies: {"ready": true}, {"task": id, "pid": n} with a pidfd, {"task": id, "failed": why}, {"task": id, "status": wait
status, "cpu": seconds}. When one of the two died: {"died": "server" or "standby", "reported": [task id, …]}: only
containers listed will have their end reported; what a server was asked for and hasn't answered is lost.
Standard library only: runs in the image's interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
from dataclasses import dataclass

from . import syscalls as sc
from .first import PID

MESSAGE_BYTES = 1 << 16


@dataclass(frozen=True)
class Request:
    """What a child was forked for."""

    task: str
    state: dict[str, str]
    connection: int
    stdout: int
    stderr: int
    assign: int
    payload: int | None
    """The memory that it shares with the control plane, where it has any."""
    ctl: int | None
    """Of a child that is to be a zygote: its own control socket."""

    @property
    def descriptors(self) -> list[int]:
        more = [descriptor for descriptor in (self.payload, self.ctl) if descriptor is not None]
        return [self.connection, self.stdout, self.stderr, self.assign, *more]


def serve(ctl: socket.socket, *, alive: int | None = None, rest_seconds: float | None = None) -> Request:
    """Forks until the control plane hangs up. Returns in children only.

    Args:
        ctl: the control socket.
        alive: the pipe to pid 1 of the namespace, which lives as long as one that announced itself there; without it,
            this process serves and nobody stands by.
        rest_seconds: a process that serves ends when it has had no child and no request for so long.
    """
    server = _Server(ctl, alive, rest_seconds)
    ctl.send(b'{"ready": true}')
    return server.run()


class _Server:
    """One process: while it has a server, it stands by; otherwise it serves, or forks a server when there is a request.

    Each call of `unshare` puts the next fork into a new pid namespace; `setns` back to our own is what makes a second
    one possible. That needs our pid namespace to be owned by our user namespace, which the builder sees to.
    """

    def __init__(self, ctl: socket.socket, alive: int | None, rest_seconds: float | None) -> None:
        self._ctl = ctl
        self._alive = alive
        self._rest_seconds = rest_seconds
        self._own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._before = signal.set_wakeup_fd(-1), signal.getsignal(signal.SIGCHLD) or signal.SIG_DFL
        self._begin(None)
        if alive is not None:
            os.write(alive, PID.pack(os.getpid()))

    def _begin(self, parent: int | None) -> None:
        """In a new process. `parent`: pidfd of the one that stands by for it."""
        self._parent = parent
        self._server: int | None = None
        self._tasks: dict[int, str] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ctl, selectors.EVENT_READ)
        for descriptor in (self._wake_read, *([] if parent is None else [parent])):
            self._selector.register(descriptor, selectors.EVENT_READ)

    def _end(self) -> None:
        """In a new process: nothing of its parent's goes on in it."""
        signal.set_wakeup_fd(self._before[0])
        signal.signal(signal.SIGCHLD, self._before[1])
        self._selector.close()
        _close(self._wake_read, self._wake_write, *([] if self._parent is None else [self._parent]))

    def run(self) -> Request:
        while True:
            stands_by = self._alive is not None and self._parent is None
            events = self._selector.select(None if stands_by else self._rest_seconds)
            ready = {key.fileobj for key, _ in events}
            if not ready and not self._tasks:
                os._exit(0)
            if self._wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
                self._reap()
            if self._parent in ready:
                self._orphaned()
            if self._ctl in ready and not self._stands_by() and (request := self._answer()):
                return request

    def _stands_by(self) -> bool:
        """Whether another process serves, or is now made to. The new one returns False."""
        if self._alive is None or self._parent is not None:
            return False
        if self._server is None:
            own = os.pidfd_open(os.getpid())
            try:
                self._server = os.fork()
            except OSError:  # better served without a standby than not at all
                os.close(own)
                return False
            if self._server == 0:
                self._end()
                self._begin(own)
                return False
            os.close(own)
            os.write(self._alive, PID.pack(self._server))
            self._selector.unregister(self._ctl)
        return True

    def _orphaned(self) -> None:
        assert self._parent is not None  # noqa: S101 - it is in the selector
        self._selector.unregister(self._parent)
        os.close(self._parent)
        self._parent = None
        self._reply({"died": "standby", "reported": list(self._tasks.values())})

    def _answer(self) -> Request | None:
        """Forks what is asked for; the child has the request."""
        request = _receive(self._ctl)
        try:
            pid = self._fork() if request.ctl is None else os.fork()
        except OSError as error:
            _close(*request.descriptors)
            self._reply({"task": request.task, "failed": f"fork: {error}"})
            return None
        if pid == 0:
            self._end()
            self._ctl.close()
            _close(self._own_namespace, *([] if self._alive is None else [self._alive]))
            return request
        self._tasks[pid] = request.task
        _close(*request.descriptors)
        pidfd = os.pidfd_open(pid)
        socket.send_fds(self._ctl, [json.dumps({"task": request.task, "pid": pid}).encode()], [pidfd])
        os.close(pidfd)
        return None

    def _fork(self) -> int:
        sc.unshare("pid")
        pid = -1
        try:
            pid = os.fork()
        finally:
            if pid:
                sc.enter_pid_namespace(self._own_namespace)
        return pid

    def _reap(self) -> None:
        while self._tasks or self._server is not None:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._server:
                self._server = None
                self._selector.register(self._ctl, selectors.EVENT_READ)
                if status:
                    self._reply({"died": "server", "reported": list(self._tasks.values())})
            elif task := self._tasks.pop(pid, None):
                self._reply({"task": task, "status": status, "cpu": usage.ru_utime + usage.ru_stime})

    def _reply(self, message: dict[str, object]) -> None:
        self._ctl.send(json.dumps(message).encode())


def _receive(ctl: socket.socket) -> Request:
    data, descriptors, _, _ = socket.recv_fds(ctl, MESSAGE_BYTES, 5)
    if not data:
        os._exit(0)
    message = json.loads(data)
    connection, stdout, stderr, assign, *own = descriptors
    more = {"payload": None, "ctl": None} | dict(zip(message["more"], own, strict=True))
    return Request(message["fork"], message["state"], connection, stdout, stderr, assign, **more)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
