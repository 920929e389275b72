"""Tries every layer of the sandbox here, each in a real jail. Run by `isolation.probe` as a process of its own.

Prints one JSON object: {"ok": [layer, …], "failed": {layer: error}, "namespaces": error or null, "landlock_abi": n}.
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


def main() -> None:
    """argv: folder of these modules, the seccomp program (hex), the uid for containers where we are root."""
    program, uid = bytes.fromhex(sys.argv[2]), int(sys.argv[3])
    result: dict[str, Any] = {"ok": [], "failed": {}, "namespaces": None, "landlock_abi": sc.landlock_abi()}
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
    builder.enter_tree()
    footprint = Footprint.of_this_process()
    for layer in LAYERS:
        rules = Policy(layers=frozenset({layer}))
        jail = Jail(rules, Limits(), program, network=False, footprint=footprint)
        child = os.fork()
        if child == 0:
            try:
                enter(jail, {pipe})
            except OSError as error:
                _report(pipe, layer, str(error))
            else:
                _report(pipe, layer, None)
            os._exit(0)
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
