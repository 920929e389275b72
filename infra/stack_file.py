"""A stack's file, `Pulumi.<stack>.yaml`, as it stands in the repository: what it sets, and what in it is encrypted.

Pulumi reads these files itself. They are read here to check them before Pulumi runs, all errors at once, and to find
what stands in plain text beside what is encrypted, which Pulumi doesn't tell a program.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

SECURE = "secure"
HIDDEN = "[secret]"


class StackFileError(ValueError):
    """The file can't be read; the message names it and says why."""


@dataclass(frozen=True)
class StackFile:
    """Keys without the project's name."""

    values: Mapping[str, str]
    """As Pulumi hands them to a program, with `HIDDEN` in place of what is encrypted."""
    encrypted: frozenset[str]
    """Keys in which something is encrypted."""
    opaque: frozenset[str]
    """Keys encrypted as a whole, whose form nothing tells."""
    plain: Mapping[str, tuple[str, ...]]
    """By key: names of a map's values that stand in plain text."""


def read_stack_file(path: Path, project: str) -> StackFile:
    """The file's config.

    Raises:
        StackFileError: there is no such file, or it isn't one of Pulumi's.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8")) or {}
        config = dict(content.get("config") or {})
    except (OSError, UnicodeError) as error:
        raise StackFileError(f"{path.name} can't be read: {error}") from None
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise StackFileError(f"{path.name} isn't a stack's file: {' '.join(str(error).split())}") from None
    values, encrypted, opaque, plain = {}, set(), set(), {}
    for full, value in config.items():
        namespace, _, key = str(full).rpartition(":")
        if namespace not in {"", project}:
            continue
        values[key] = _text(value)
        if any(secret for _, secret in _leaves(value)):
            encrypted.add(key)
        if _is_encrypted(value):
            opaque.add(key)
        elif isinstance(value, Mapping):
            plain[key] = tuple(name for name, secret in _leaves(value) if not secret)
    return StackFile(values, frozenset(encrypted), frozenset(opaque), plain)


def _text(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case None:
            return ""
        case str() | int() | float():
            return str(value)
        case _ if _is_encrypted(value):
            return HIDDEN
        case _:
            return json.dumps(_revealed(value), default=str)


def _revealed(value: Any) -> Any:
    if _is_encrypted(value):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(name): _revealed(item) for name, item in value.items()}
    return [_revealed(item) for item in value] if isinstance(value, list) else value


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, bool]]:
    if _is_encrypted(value):
        yield name, True
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, name)
    else:
        yield name, False


def _is_encrypted(value: Any) -> bool:
    return isinstance(value, Mapping) and list(value) == [SECURE]
