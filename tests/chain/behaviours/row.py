"""A row of the table of behaviours: a workflow with its inputs, and in what its outcome differs from local execution."""

from dataclasses import dataclass, field
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
of the error, the debug output is what the run's record keeps of both, and shown is what the server's own streams got."""

ASPECTS: tuple[Aspect, ...] = get_args(Aspect)


@dataclass(frozen=True)
class Behaviour:
    """What a block does. `differs` and `reason` belong together: a row without them is the same in both modes."""

    name: str
    workflow: dict[str, Any]
    inputs: dict[str, Any] = field(default_factory=dict)
    differs: frozenset[Aspect] = frozenset()
    reason: str = ""

    def __post_init__(self) -> None:
        if bool(self.differs) != bool(self.reason):
            raise ValueError(f"{self.name}: a difference has a reason, and a reason a difference")


def block(
    name: str,
    code: str,
    inputs: dict[str, Any] | None = None,
    *,
    outputs: tuple[str, ...] = ("value",),
    differs: tuple[Aspect, ...] = (),
    reason: str = "",
    **more: Any,
) -> Behaviour:
    """A row of one block. The input `image` is an image or several, any other a parameter; `more` as in `single`."""
    given = inputs or {}
    kinds = {key: IMAGE if key == "image" else PARAMETER for key in given}
    return Behaviour(name, single(code, kinds, outputs, **more), given, frozenset(differs), reason)


def raising(
    name: str, statement: str, differs: tuple[Aspect, ...] = (), reason: str = "", before: str = "", **more: Any
) -> Behaviour:
    """A row whose run function prints, and then comes to `statement`, one or more lines."""
    body = "".join(f"    {line}\n" for line in statement.splitlines())
    code = f"{before}def run(self):\n    print('before')\n{body}    return {{'value': 1}}\n"
    return block(name, code, differs=differs, reason=reason, **more)
