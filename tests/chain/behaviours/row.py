"""A row of the table of behaviours: a workflow with its inputs, and in what it differs from local execution."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from tests.chain.workflows import IMAGE, PARAMETER, single

Aspect = Literal[
    "outcome",
    "result",
    "error class",
    "context",
    "message",
    "line",
    "snippet",
    "traceback",
    "stdout",
    "stderr",
    "debug output",
    "debug traces",
    "shown",
]
"""What is compared. `outcome` is whether there is a result, an error or no server any more; stdout and stderr are those
of the error, the debug output is what the run's record keeps of both, shown is what the server's own streams got."""

ASPECTS: tuple[Aspect, ...] = get_args(Aspect)


@dataclass(frozen=True)
class Behaviour:
    """What a block does. Without a `reason` it is the same in both modes; with one it differs in each of `differs`."""

    name: str
    workflow: dict[str, Any]
    inputs: dict[str, Any] = field(default_factory=dict)
    differs: frozenset[Aspect] = frozenset()
    reason: str = ""


def block(
    name: str, code: str, inputs: dict[str, Any] | None = None, outputs: tuple[str, ...] = ("value",), **more: Any
) -> Behaviour:
    """A row of one block. The input `image` is an image or several, any other a parameter; `more` as in `single`."""
    given = inputs or {}
    kinds = {key: IMAGE if key == "image" else PARAMETER for key in given}
    return Behaviour(name, single(code, kinds, outputs, **more), given)


def raising(name: str, statement: str, before: str = "", **more: Any) -> Behaviour:
    """A row whose run function prints, and then comes to `statement`, one or more lines."""
    body = "".join(f"    {line}\n" for line in statement.splitlines())
    return block(name, f"{before}def run(self):\n    print('before')\n{body}    return {{'value': 1}}\n", **more)


def returning(name: str, expression: str, before: str = "") -> Behaviour:
    """A row whose run function returns `expression`."""
    return block(name, f"{before}def run(self):\n    return {expression}\n")


def giving(name: str, expression: str, before: str = "") -> Behaviour:
    """A row whose output `value` is `expression`."""
    return returning(name, f"{{'value': {expression}}}", before)


def differing(reason: str, differs: tuple[Aspect, ...], *rows: Behaviour) -> tuple[Behaviour, ...]:
    """Rows that differ in the same aspects, for the same reason."""
    return tuple(replace(row, reason=reason, differs=frozenset(differs)) for row in rows)
