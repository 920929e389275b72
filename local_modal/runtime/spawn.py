"""Starts the processes of a zygote, outside in. What they are told goes to them in memory, by no file or argument."""

from __future__ import annotations

import asyncio
import json
import os
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
from local_modal.runtime.spec import ExitStatus, LaunchSpec, Streams
from local_modal.runtime.tree import ARGUMENTS

HERE = Path(__file__).parent


class Program:
    """The process on top of a zygote's tree; it ends after everything below it. `exited` never fails."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self.exited: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def kill(self) -> None:
        """End it, and the tree, now."""
        self._process.kill()

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._process.wait()
        self.exited.set_result(ExitStatus(None, -code) if code < 0 else ExitStatus(code, None))


def spawn(spec: LaunchSpec, log: Streams, state_dir: Path) -> tuple[Program, socket.socket]:
    """Starts a tree of processes; gives the one on top, and our end of the control socket."""
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
        "stem": spec.stem,
        "rest_seconds": spec.rest_seconds,
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    descriptors = [theirs.detach(), _memory_file("plan", plan), _memory_file("settings", settings)]
    try:
        program = BOOT + "from local_modal_jail.builder import main; main()"
        handed = [str(descriptor) for descriptor in (descriptors[1], descriptors[2], descriptors[0])]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-I", "-S", "-c", program, str(HERE), *handed],
            stdin=subprocess.DEVNULL,
            stdout=log.stdout,
            stderr=log.stderr,
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
    return Program(process), ours


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
