"""The control plane's side of a zygote: start it, fork containers from it, see them and it end. One asyncio loop.

What comes over the control socket is data from a process that has run an app author's code: checked, never trusted;
the first message that makes no sense ends the zygote.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from local_modal.runtime import policy as rules
from local_modal.runtime.bpf import compile_filter
from local_modal.runtime.builder import BOOT
from local_modal.runtime.container import Container
from local_modal.runtime.forkserver import MESSAGE_BYTES
from local_modal.runtime.modal_seam import UNSHAREABLE
from local_modal.runtime.policy import Limits, Policy
from local_modal.runtime.spec import Bind, ExitStatus, LaunchSpec, ZygoteFailed
from local_modal.runtime.tree import ARGUMENTS

HERE = Path(__file__).parent
MESSAGES_AT_ONCE = 64
"""Messages of one zygote that are handled before the loop turns to something else (count)."""
CLOSE_SECONDS = 10.0
"""How long `close` waits for the kernel to take a tree of processes down before it kills the process on top (s)."""


class Zygote:
    """A process at Modal's snapshot point, in its jail, that forks single-use containers.

    Ends with the control plane, whatever ends that; with it end all its containers. `exited`: its exit code.
    """

    def __init__(self, process: subprocess.Popen[bytes], ctl: socket.socket, *, direct: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._ctl = ctl
        self._pidfd = os.pidfd_open(process.pid)
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._ready.add_done_callback(_retrieve)
        self._forks: dict[str, tuple[asyncio.Future[Container], int | None]] = {}
        self._containers: dict[str, Container] = {}
        self._sending = asyncio.Lock()
        self._reason: str | None = None
        self._direct = direct
        self._last = ExitStatus(None, signal.SIGKILL)
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(ctl, self._receive)
        self._loop.add_reader(self._pidfd, self._finish)

    @property
    def pid(self) -> int:
        """The process on top of the tree, outside the jail."""
        return self._process.pid

    @classmethod
    async def start(
        cls,
        spec: LaunchSpec,
        connection: socket.socket,
        log_fd: int,
        state_dir: Path,
    ) -> Zygote:
        """Starts the process; `ready` tells when it is at the snapshot point.

        `connection` is one end of an AF_UNIX stream socketpair, over which it speaks Modal's gRPC until then; the
        process gets a copy of it and of `log_fd` (stdout and stderr), the caller closes its own. `state_dir` becomes
        the working directory of the process that waits outside the jail; nothing is written there.

        Raises:
            ValueError: nothing can be started from this specification.
        """
        zygote = cls._spawn(spec.prepared(), log_fd, state_dir)
        if spec.snapshot:
            with contextlib.suppress(ZygoteFailed):  # it has ended already: `ready` will say why
                await zygote._send(b"start", [connection.fileno()])
        return zygote

    @classmethod
    def _spawn(cls, spec: LaunchSpec, log_fd: int, state_dir: Path) -> Zygote:
        plan = {
            "python": str(spec.python),
            "read_only": [str(path) for path in spec.read_only],
            "binds": [[str(bind.source), bind.target] for bind in spec.binds],
            "env": environment(spec),
            "container_arguments": spec.container_arguments.hex(),
            "network": spec.network,
            "policy": spec.policy.to_json(),
        }
        settings = {
            "policy": spec.policy.to_json(),
            "limits": asdict(spec.limits),
            "filter": compile_filter(network=spec.network).hex(),
            "network": spec.network,
            "snapshot": spec.snapshot,
            "hide_params": spec.hide_params,
        }
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptors = [theirs.detach(), _memory_file("plan", plan), _memory_file("settings", settings)]
        try:
            program = BOOT + "from local_modal_jail.builder import main; main()"
            handed = [str(descriptor) for descriptor in (descriptors[1], descriptors[2], descriptors[0])]
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                [sys.executable, "-I", "-S", "-c", program, str(HERE), *handed],
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                cwd=state_dir,
                env={},
                pass_fds=descriptors,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        ours.setblocking(False)
        return cls(process, ours, direct=not spec.snapshot)

    async def ready(self) -> None:
        """Returns when containers can be forked.

        Raises:
            ZygoteFailed: it ended before; the reason, and whether it would start with its parameters known.
        """
        await asyncio.shield(self._ready)

    async def fork(
        self, task_id: str, connection: socket.socket, log_fd: int, restore_state: Mapping[str, str]
    ) -> Container:
        """A single-use container: forked, jailed, restored, waiting for `Container.assign`.

        `restore_state` is what Modal's restore file holds (task_id, function_id, …). The container gets copies of
        `connection` and `log_fd`; the caller closes its own.

        Raises:
            ZygoteFailed: the zygote has ended, or can't fork.
            ValueError: there is a container of that task id.
        """
        if self.exited.done() or self._ctl.fileno() < 0:
            raise ZygoteFailed(self._reason or "the zygote has ended")
        if task_id in self._forks or task_id in self._containers:
            raise ValueError(f"there is a container of task {task_id} already")
        assign_read, assign_write = os.pipe()
        future: asyncio.Future[Container] = self._loop.create_future()
        future.add_done_callback(_retrieve)
        self._forks[task_id] = (future, assign_write)
        try:
            message = json.dumps({"fork": task_id, "state": dict(restore_state)}).encode()
            await self._send(message, [connection.fileno(), log_fd, assign_read])
        except BaseException:
            self._forks.pop(task_id, None)
            os.close(assign_write)
            raise
        finally:
            os.close(assign_read)
        return await future

    async def close(self) -> None:
        """Ends the whole tree, containers included; returns when it is gone."""
        self._hang_up()
        try:
            await asyncio.wait_for(asyncio.shield(self.exited), CLOSE_SECONDS)
        except TimeoutError:
            self._process.kill()
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
        elif "pid" in message:
            self._forked(str(message["task"]), descriptors)
        elif "failed" in message:
            future, assign_fd = self._forks.pop(str(message["task"]))
            _close(assign_fd)
            if not future.done():
                future.set_exception(ZygoteFailed(str(message["failed"])[:2000]))
        elif container := self._containers.get(str(message["task"])):
            status = ExitStatus.from_wait(int(message["status"]), float(message["cpu"]))
            if self._direct:
                self._last = status
                self._hang_up()
            else:
                del self._containers[container.task_id]
                container.ended(status)

    def _forked(self, task_id: str, descriptors: list[int]) -> None:
        future, assign_fd = self._forks.pop(task_id)
        try:
            container = Container(task_id, descriptors[0], assign_fd)
        except (IndexError, ValueError):
            _close(assign_fd)
            raise ValueError("a fork without a pidfd") from None
        descriptors.pop(0)
        self._containers[task_id] = container
        if future.done():
            container.kill()
        else:
            future.set_result(container)

    def _hang_up(self) -> None:
        """pid 1 of the tree leaves when it sees this, and everything else with it."""
        if self._ctl.fileno() >= 0:
            self._loop.remove_reader(self._ctl)
            self._ctl.close()

    def _finish(self) -> None:
        """The process on top has ended, after everything below it."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._process.wait()
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
        self._containers.clear()
        self.exited.set_result(code)


async def launch_direct(
    spec: LaunchSpec,
    task_id: str,
    connection: socket.socket,
    log_fd: int,
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
    zygote = await Zygote.start(spec, connection, log_fd, state_dir)
    try:
        await zygote.ready()
        container = await zygote.fork(task_id, connection, log_fd, {})
    except BaseException:
        await zygote.close()
        raise
    container.assign("", b"")
    return container


def environment(spec: LaunchSpec) -> dict[str, str]:
    """What the image's interpreter is started with."""
    env = {**rules.PYTHON_ENVIRONMENT, **spec.env}
    env |= {
        "HOME": rules.SCRATCH,
        "TMPDIR": rules.SCRATCH,
        "MODAL_IS_REMOTE": "1",
        "MODAL_SERVER_URL": "unix:///connection",
        "MODAL_CONTAINER_ARGUMENTS_PATH": ARGUMENTS,
    }
    env.pop("MODAL_ENABLE_SNAP_RESTORE", None)
    if spec.snapshot:
        env["MODAL_ENABLE_SNAP_RESTORE"] = "1"
    return env


def _memory_file(name: str, content: Mapping[str, Any]) -> int:
    """JSON in memory as a descriptor: secrets never stand in a file or in an argument list."""
    descriptor = os.memfd_create(name)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(json.dumps(content).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


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
    "Zygote",
    "ZygoteFailed",
    "launch_direct",
]
