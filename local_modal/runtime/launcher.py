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
from typing import NoReturn

from . import modal_seam
from .forkserver import serve
from .jail import Footprint, Jail, enter
from .modal_seam import Seam, leave
from .policy import Limits, Policy

ENTRYPOINT = "modal._container_entrypoint"


def main() -> NoReturn:
    """argv: folder of these modules, descriptors of our settings (JSON) and of the control socket."""
    settings_fd, ctl_fd = int(sys.argv[2]), int(sys.argv[3])
    with os.fdopen(settings_fd, "rb") as file:
        settings = json.load(file)
    ctl = socket.socket(fileno=ctl_fd)
    ctl.set_inheritable(False)
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
            run_to_snapshot(ctl, make_jail, hide_params=settings["hide_params"])
        else:
            run_direct(ctl, make_jail)
    except BaseException as error:  # noqa: BLE001 - the control plane must hear of whatever it is
        traceback.print_exc()
        ctl.send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode()[:60_000])
        leave(modal_seam.CHILD_FAILED)
    run_entrypoint()


def run_to_snapshot(ctl: socket.socket, make_jail: Callable[[Footprint], Jail], *, hide_params: bool) -> None:
    _, descriptors, _, _ = socket.recv_fds(ctl, 16, 1)
    seam = Seam(hide_params=hide_params)
    seam.use_connection(descriptors[0])
    seam.install_connection()
    seam.install_exit()
    seam.install_snapshot(ctl, make_jail)


def run_direct(ctl: socket.socket, make_jail: Callable[[Footprint], Jail]) -> None:
    request = serve(ctl)
    try:
        jail = make_jail(Footprint.of_this_process().with_imports())
        os.dup2(request.log, 1)
        os.dup2(request.log, 2)
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
