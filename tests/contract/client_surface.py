"""Prints, as JSON, the commands and the public interface of whichever modal is installed beside it."""

import inspect
import json
import sys
from typing import Any

import modal
from modal.cli.entry_point import entrypoint_cli


def commands(command: Any, path: tuple[str, ...] = ("modal",)) -> dict[str, list[str]]:
    """Command → its options."""
    if not hasattr(command, "commands"):
        return {" ".join(path): sorted(max(parameter.opts, key=len) for parameter in command.params)}
    found: dict[str, list[str]] = {}
    for name, below in sorted(command.commands.items()):
        found |= commands(below, (*path, name))
    return found


def attributes() -> dict[str, list[str]]:
    """Public attribute of `modal`, and of its classes → its parameters, where it can be called."""
    found: dict[str, list[str]] = {}
    for name in sorted(modal.__all__):
        thing = getattr(modal, name)
        found[name] = [] if inspect.isclass(thing) else parameters(thing)
        if inspect.isclass(thing):
            public = [member for member in dir(thing) if not member.startswith("_")]
            found |= {f"{name}.{member}": parameters(getattr(thing, member)) for member in public}
    return found


def parameters(thing: object) -> list[str]:
    """Names of what it takes."""
    if not callable(thing):
        return []
    try:
        return [name for name in inspect.signature(thing).parameters if not name.startswith("_")]
    except ValueError:
        return []


json.dump({"commands": commands(entrypoint_cli), "attributes": attributes()}, sys.stdout)
