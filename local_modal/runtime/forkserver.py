"""Serves fork requests on the control socket: one request, one child that is pid 1 of a fresh pid namespace.

Messages are JSON over SOCK_SEQPACKET. Request: {"fork": task id, "state": {...}} with the descriptors of the
connection, the log and the assign pipe. Replies: {"ready": true}, {"task": id, "pid": n} with a pidfd,
{"task": id, "failed": why}, {"task": id, "status": wait status, "cpu": seconds}.
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

MESSAGE_BYTES = 1 << 16


@dataclass(frozen=True)
class Request:
    """What a child was forked for."""

    task: str
    state: dict[str, str]
    connection: int
    log: int
    assign: int


def serve(ctl: socket.socket) -> Request:
    """Forks until the control plane hangs up. Returns in children only.

    Each call of `unshare` puts the next fork into a new pid namespace; `setns` back to our own is what makes a second
    one possible. That needs our pid namespace to be owned by our user namespace, which the builder sees to.
    """
    own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    old_wakeup = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    old_handler = signal.signal(signal.SIGCHLD, lambda *_: None)
    tasks: dict[int, str] = {}
    selector = selectors.DefaultSelector()
    selector.register(ctl, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    ctl.send(b'{"ready": true}')
    while True:
        for key, _ in selector.select():
            if key.fileobj is not ctl:
                _drain(wake_read)
                _reap(ctl, tasks)
                continue
            request = _receive(ctl)
            descriptors = (request.connection, request.log, request.assign)
            try:
                pid = _fork(own_namespace)
            except OSError as error:
                _close(*descriptors)
                _reply(ctl, {"task": request.task, "failed": f"fork: {error}"})
                continue
            if pid == 0:
                signal.set_wakeup_fd(old_wakeup)
                signal.signal(signal.SIGCHLD, old_handler or signal.SIG_DFL)
                selector.close()
                ctl.close()
                _close(wake_read, wake_write, own_namespace)
                return request
            tasks[pid] = request.task
            _close(*descriptors)
            pidfd = os.pidfd_open(pid)
            socket.send_fds(ctl, [json.dumps({"task": request.task, "pid": pid}).encode()], [pidfd])
            os.close(pidfd)


def _fork(own_namespace: int) -> int:
    sc.unshare("pid")
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid:
            sc.enter_pid_namespace(own_namespace)
    return pid


def _receive(ctl: socket.socket) -> Request:
    data, descriptors, _, _ = socket.recv_fds(ctl, MESSAGE_BYTES, 3)
    if not data:
        os._exit(0)
    message = json.loads(data)
    connection, log, assign = descriptors
    return Request(message["fork"], message["state"], connection, log, assign)


def _reply(ctl: socket.socket, message: dict[str, object]) -> None:
    ctl.send(json.dumps(message).encode())


def _drain(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(descriptor, 4096)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _reap(ctl: socket.socket, tasks: dict[int, str]) -> None:
    while tasks:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if task := tasks.pop(pid, None):
            _reply(ctl, {"task": task, "status": status, "cpu": usage.ru_utime + usage.ru_stime})
