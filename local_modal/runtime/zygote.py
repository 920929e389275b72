"""The control plane's side of a zygote: start it, fork containers from it, see them and it end. One asyncio loop.

What comes over the control socket is data from a process that has run an app author's code: checked, never trusted;
the first message that makes no sense ends the zygote.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local_modal.runtime.container import Container
from local_modal.runtime.forkserver import MESSAGE_BYTES
from local_modal.runtime.modal_seam import UNSHAREABLE
from local_modal.runtime.policy import Limits, Policy
from local_modal.runtime.spawn import Program, spawn
from local_modal.runtime.spec import Bind, ExitStatus, LaunchSpec, Streams, ZygoteFailed

log = logging.getLogger(__name__)
MESSAGES_AT_ONCE = 64
"""Messages of one zygote that are handled before the loop turns to something else (count)."""
CLOSE_SECONDS = 10.0
"""How long `close` waits for the kernel to take a tree of processes down before it kills the process on top (s)."""


class Zygote:
    """A process at Modal's snapshot point, in its jail, that forks single-use containers.

    Ends with the control plane, whatever ends that; with it end all its containers. `exited`: its exit code.
    """

    def __init__(self, top: Program | Container, ctl: socket.socket, *, direct: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._top = top
        self._ctl = ctl
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._ready.add_done_callback(_retrieve)
        self._forks: dict[str, tuple[asyncio.Future[Container], int | None]] = {}
        self._containers: dict[str, Container] = {}
        self._lost: set[str] = set()
        self._sending = asyncio.Lock()
        self._reason: str | None = None
        self._direct = direct
        self._last = ExitStatus(None, signal.SIGKILL)
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(ctl, self._receive)
        top.exited.add_done_callback(lambda ended: self._finish(ended.result()))

    @property
    def pid(self) -> int:
        """The process on top of the tree, outside the jail."""
        return self._top.pid

    @classmethod
    async def start(
        cls,
        spec: LaunchSpec,
        connection: socket.socket,
        log: Streams,
        state_dir: Path,
    ) -> Zygote:
        """Starts the process; `ready` tells when it is at the snapshot point.

        `connection` is one end of an AF_UNIX stream socketpair, over which it speaks Modal's gRPC until then; the
        process gets copies of it and of `log`, the caller closes its own. `state_dir` becomes the working directory of
        the process that waits outside the jail; nothing is written there.

        Raises:
            ValueError: nothing can be started from this specification.
        """
        zygote = cls(*spawn(spec.prepared(), log, state_dir), direct=not spec.snapshot)
        if spec.snapshot:
            with contextlib.suppress(ZygoteFailed):  # it has ended already: `ready` will say why
                await zygote._send(b"start", [connection.fileno()])
        return zygote

    async def ready(self) -> None:
        """Returns when containers can be forked.

        Raises:
            ZygoteFailed: it ended before; the reason, and whether it would start with its parameters known.
        """
        await asyncio.shield(self._ready)

    async def fork(
        self,
        task_id: str,
        connection: socket.socket,
        log: Streams,
        restore_state: Mapping[str, str],
        payload: int | None = None,
    ) -> Container:
        """A single-use container: forked, jailed, restored, waiting for `Container.assign`.

        `restore_state` is what Modal's restore file holds (task_id, function_id, …). The container gets copies of
        `connection`, `log` and `payload` (memory that it shares with us); the caller closes its own.

        Raises:
            ZygoteFailed: the zygote has ended, or can't fork.
            ValueError: there is a container of that task id.
        """
        more = {} if payload is None else {"payload": payload}
        return await self._fork(task_id, [connection.fileno(), *log], restore_state, more)

    async def branch(
        self, task_id: str, connection: socket.socket, log: Streams, restore_state: Mapping[str, str], params: bytes
    ) -> Zygote:
        """Of a stem: a zygote that knows its parameters; `ready` tells when its hooks have run. As `fork` otherwise.

        It ends with the stem, and when it has had no container for as long as the stem's `rest_seconds` say.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                top = await self._fork(task_id, [connection.fileno(), *log], restore_state, {"ctl": theirs.fileno()})
            top.assign(restore_state["function_id"], params)
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        return Zygote(top, ours, direct=False)

    async def _fork(
        self, task_id: str, descriptors: list[int], restore_state: Mapping[str, str], more: Mapping[str, int]
    ) -> Container:
        if self.exited.done() or self._ctl.fileno() < 0:
            raise ZygoteFailed(self._reason or "the zygote has ended")
        if task_id in self._forks or task_id in self._containers:
            raise ValueError(f"there is a container of task {task_id} already")
        assign_read, assign_write = os.pipe()
        future: asyncio.Future[Container] = self._loop.create_future()
        future.add_done_callback(_retrieve)
        self._forks[task_id] = (future, assign_write)
        try:
            message = json.dumps({"fork": task_id, "state": dict(restore_state), "more": list(more)}).encode()
            await self._send(message, [*descriptors, assign_read, *more.values()])
        except BaseException:
            self._forks.pop(task_id, None)
            os.close(assign_write)
            raise
        finally:
            os.close(assign_read)
        return await future

    async def settled(self) -> None:
        """Returns at once where containers can be forked, else when it has ended."""
        if self._ctl.fileno() < 0:
            await asyncio.shield(self.exited)

    async def close(self) -> None:
        """Ends the whole tree, containers included; returns when it is gone."""
        self._hang_up()
        try:
            await asyncio.wait_for(asyncio.shield(self.exited), CLOSE_SECONDS)
        except TimeoutError:
            self._top.kill()
            await asyncio.shield(self.exited)

    async def _send(self, data: bytes, descriptors: list[int]) -> None:
        async with self._sending:
            while True:
                try:
                    socket.send_fds(self._ctl, [data], descriptors)
                except BlockingIOError:
                    await self._writable()
                except OSError as error:
                    self._receive()
                    raise ZygoteFailed(self._reason or f"the zygote has ended ({error.strerror})") from error
                else:
                    return

    async def _writable(self) -> None:
        event = asyncio.Event()
        self._loop.add_writer(self._ctl, event.set)
        try:
            await event.wait()
        finally:
            self._loop.remove_writer(self._ctl)

    def _receive(self) -> None:
        for _ in range(MESSAGES_AT_ONCE):
            if self._ctl.fileno() < 0:
                return
            try:
                data, descriptors, _, _ = socket.recv_fds(self._ctl, MESSAGE_BYTES, 4)
            except BlockingIOError:
                return
            except ConnectionResetError:  # it ended with a message of ours unread; what it said before still lies there
                continue
            except OSError:
                data, descriptors = b"", []
            if not data:
                self._hang_up()
                return
            try:
                self._take(json.loads(data), descriptors)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                self._reason = self._reason or "the zygote sent a message that makes no sense"
                self._hang_up()
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _take(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """Handles one message; what it keeps of `descriptors` it takes out of the list."""
        if message.get("ready") is True:
            if not self._ready.done():
                self._ready.set_result(None)
        elif "error" in message:
            self._reason = str(message["error"])[:2000]
        elif "died" in message:
            self._replaced(str(message["died"]), {str(task) for task in message["reported"]})
        elif str(message["task"]) in self._lost:  # the one who was asked died, and another answers
            for descriptor in descriptors:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        elif "pid" in message:
            self._forked(str(message["task"]), descriptors)
        elif "failed" in message:
            future, assign_fd = self._forks.pop(str(message["task"]))
            _close(assign_fd)
            if not future.done():
                future.set_exception(ZygoteFailed(str(message["failed"])[:2000]))
        else:
            status = ExitStatus.from_wait(int(message["status"]), float(message["cpu"]))
            if self._direct:
                self._last = status
                self._hang_up()
            elif container := self._containers.get(str(message["task"])):
                container.ended(status)

    def _replaced(self, who: str, reported: set[str]) -> None:
        """One of the two processes at the snapshot point died; containers go on, and their ends are ours to see."""
        log.warning("a process at the snapshot point ended: the %s; the other one goes on", who)
        for task_id in self._containers.keys() - reported:
            self._containers[task_id].watch()
        if who == "server":
            reason = "the process that forks containers ended"
            for future, assign_fd in self._forks.values():
                _close(assign_fd)
                if not future.done():
                    future.set_exception(ZygoteFailed(reason))
            self._lost |= self._forks.keys()
            self._forks.clear()

    def _forked(self, task_id: str, descriptors: list[int]) -> None:
        future, assign_fd = self._forks.pop(task_id)
        try:
            container = Container(task_id, descriptors[0], assign_fd)
        except (IndexError, ValueError):
            _close(assign_fd)
            raise ValueError("a fork without a pidfd") from None
        descriptors.pop(0)
        self._containers[task_id] = container
        container.exited.add_done_callback(lambda _: self._containers.pop(task_id, None))
        if future.done():
            container.kill()
        else:
            future.set_result(container)

    def _hang_up(self) -> None:
        """pid 1 of the tree leaves when it sees this, and everything else with it."""
        if self._ctl.fileno() >= 0:
            self._loop.remove_reader(self._ctl)
            self._ctl.close()

    def _finish(self, status: ExitStatus) -> None:
        """The process on top has ended, after everything below it."""
        code = status.code if status.code is not None else -(status.signal or signal.SIGKILL)
        self._receive()
        self._hang_up()
        unshareable = code == UNSHAREABLE and not self._ready.done()
        if unshareable:
            self._reason = "a snapshot hook reads a class parameter"
        elif self._reason is None:
            self._reason = f"the zygote ended with exit status {code}" + (
                " before its snapshot point" if not self._ready.done() else ""
            )
        if not self._ready.done():
            self._ready.set_exception(ZygoteFailed(self._reason, code, unshareable=unshareable))
        for future, assign_fd in self._forks.values():
            _close(assign_fd)
            if not future.done():
                future.set_exception(ZygoteFailed(self._reason, code))
        self._forks.clear()
        for container in self._containers.values():
            container.ended(self._last)
        self.exited.set_result(code)


async def launch_direct(
    spec: LaunchSpec,
    task_id: str,
    connection: socket.socket,
    log: Streams,
    state_dir: Path,
) -> Container:
    """A container without a snapshot: the entrypoint runs once, from its start, in the full jail.

    `Container.assign` does nothing: the arguments hold the parameters.

    Raises:
        ZygoteFailed: it could not be started.
        ValueError: nothing can be started from this specification.
    """
    if spec.snapshot:
        raise ValueError("a function with a snapshot is started by Zygote.start")
    zygote = await Zygote.start(spec, connection, log, state_dir)
    try:
        await zygote.ready()
        container = await zygote.fork(task_id, connection, log, {})
    except BaseException:
        await zygote.close()
        raise
    container.assign("", b"")
    return container


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Nobody has to look at a failure."""
    if not future.cancelled():
        future.exception()


__all__ = [
    "Bind",
    "Container",
    "ExitStatus",
    "LaunchSpec",
    "Limits",
    "Policy",
    "Streams",
    "Zygote",
    "ZygoteFailed",
    "launch_direct",
]
