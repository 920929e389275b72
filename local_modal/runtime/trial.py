"""Tries every layer of the sandbox here, each in a real jail. Run by `isolation.probe` as a process of its own.

Prints one JSON object: {"ok": [layer, …], "failed": {layer: error}, "namespaces": error or null, "landlock_abi": n,
"outer_proc": whether a zygote has the outer /proc for want of a fresh one}.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from . import builder
from . import syscalls as sc
from .jail import Footprint, Jail, enter
from .policy import LAYERS, Limits, Policy

OUTER_PROC = "outer-proc"


def main() -> None:
    """argv: folder of these modules, the seccomp program (hex), the uid for containers where we are root."""
    program, uid = bytes.fromhex(sys.argv[2]), int(sys.argv[3])
    result: dict[str, Any] = {"ok": [], "failed": {}, "namespaces": None, "landlock_abi": sc.landlock_abi()}
    result["outer_proc"] = False
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            _try_layers(write, program, uid)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
            _report(write, "namespaces", str(error))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as lines:
        for line in lines:
            layer, failure = json.loads(line)
            if layer == "namespaces":
                result["namespaces"] = failure
            elif layer == OUTER_PROC:
                result["outer_proc"] = True
            elif failure is None:
                result["ok"].append(layer)
            else:
                result["failed"][layer] = failure
    os.waitpid(child, 0)
    sys.stdout.write(json.dumps(result))


def _report(pipe: int, layer: str, error: str | None) -> None:
    os.write(pipe, json.dumps([layer, error]).encode() + b"\n")


def _try_layers(pipe: int, program: bytes, uid: int) -> None:
    rules = Policy(uid=uid)
    plan = {
        "python": sys.executable,
        "read_only": [],
        "binds": [],
        "network": False,
        "container_arguments": "",
        "policy": rules.to_json(),
    }
    builder.enter_mount_namespace()
    builder.lay_out(plan)
    builder.enter_namespaces(rules, network=False)
    _in_child(pipe, lambda: _inside(pipe, program))


def _inside(pipe: int, program: bytes) -> None:
    """Forks as the fork server does: each child is the first of a pid namespace of its own."""
    builder.enter_tree()
    if int(os.readlink("/proc/self")) != os.getpid():
        _report(pipe, OUTER_PROC, None)
    own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    footprint = Footprint.of_this_process()
    for layer in LAYERS:
        rules = Policy(layers=frozenset({layer}))
        jail = Jail(rules, Limits(), program, network=False, footprint=footprint)
        sc.unshare("pid")
        child = os.fork()
        if child == 0:
            try:
                enter(jail, {pipe})
            except OSError as error:
                _report(pipe, layer, str(error))
            else:
                _report(pipe, layer, None)
            os._exit(0)
        sc.enter_pid_namespace(own_namespace)
        os.waitpid(child, 0)


def _in_child(pipe: int, action: Any) -> None:
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException as error:  # noqa: BLE001
            _report(pipe, "namespaces", str(error))
        os._exit(0)
    os.waitpid(child, 0)
