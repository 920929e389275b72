"""Runs Modal's own container entrypoint in the image's interpreter. The first of our code inside the outer jail.

Snapshot: the entrypoint runs here, up to the snapshot point, and forks containers from there. Direct: nothing is
imported yet; the one container is forked at once, enters the inner jail, and runs the entrypoint from its start.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from . import modal_seam
from .branch import enter as enter_branch
from .forked import leave
from .forkserver import Request, serve
from .jail import Footprint, Jail, enter
from .modal_seam import Seam
from .policy import Limits, Policy

ENTRYPOINT = "modal._container_entrypoint"


def main() -> NoReturn:
    """argv: folder of these modules, descriptors of our settings (JSON), of the pipe to pid 1 and of the control
    socket."""
    settings_fd, alive, ctl_fd = map(int, sys.argv[2:5])
    with os.fdopen(settings_fd, "rb") as file:
        settings = json.load(file)
    ctl = socket.socket(fileno=ctl_fd)
    ctl.set_inheritable(False)
    os.set_inheritable(alive, False)
    sys.argv = [ENTRYPOINT]
    sys.path = [entry for entry in sys.path if entry]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    rules, limits = Policy.from_json(settings["policy"]), Limits(**settings["limits"])
    seccomp_filter = bytes.fromhex(settings["filter"])

    def make_jail(footprint: Footprint) -> Jail:
        return Jail(rules, limits, seccomp_filter, settings["network"], footprint)

    try:
        if settings["snapshot"]:
            run_to_snapshot(ctl, alive, settings, make_jail)
        else:
            run_direct(ctl, make_jail)
    except BaseException as error:  # noqa: BLE001 - the control plane must hear of whatever it is
        traceback.print_exc()
        ctl.send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode()[:60_000])
        leave(modal_seam.CHILD_FAILED)
    run_entrypoint()


def run_to_snapshot(
    ctl: socket.socket, alive: int, settings: dict[str, Any], make_jail: Callable[[Footprint], Jail]
) -> None:
    _, descriptors, _, _ = socket.recv_fds(ctl, 16, 1)
    seam = Seam(hide_params=settings["hide_params"])
    rest_seconds: float = settings["rest_seconds"]

    def branch(request: Request) -> Callable[[], Request]:
        assert request.ctl is not None  # noqa: S101 - what a stem is asked for are zygotes
        own = socket.socket(fileno=request.ctl)
        enter_branch(own, network=settings["network"])
        return lambda: serve(own, rest_seconds=rest_seconds)

    seam.use_connection(descriptors[0])
    seam.install_connection()
    seam.install_exit()
    seam.install_snapshot(lambda: serve(ctl, alive=alive, rest_seconds=rest_seconds), make_jail)
    if settings["stem"]:
        seam.install_stem(branch)


def run_direct(ctl: socket.socket, make_jail: Callable[[Footprint], Jail]) -> None:
    request = serve(ctl)
    try:
        jail = make_jail(Footprint.of_this_process().with_imports())
        os.dup2(request.stdout, 1)
        os.dup2(request.stderr, 2)
        enter(jail, {request.connection})
        seam = Seam(hide_params=False)
        seam.use_connection(request.connection)
        seam.install_connection()
        seam.install_exit()
        seam.mark_container()
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        leave(modal_seam.CHILD_FAILED)


def run_entrypoint() -> NoReturn:
    """The unmodified entrypoint as `python -m` would run it; the process ends with it, without finalising."""
    code = 0
    try:
        runpy.run_module(ENTRYPOINT, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    leave(code)
