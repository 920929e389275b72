"""docs/DIFFERENCES.md, written out of the tables."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.chain.behaviours.row import ASPECTS, Behaviour
from tests.chain.behaviours.wire import REFUSED, TRANSPORTS, Becomes, each
from tests.chain.behaviours.wire_values import VALUES

PAGE = Path(__file__).parents[3] / "docs" / "DIFFERENCES.md"

INTRODUCTION = """\
# Differences from local execution

<!-- Written by `make docs` out of tests/chain/behaviours: edit those. -->

A custom Python block does in its sandbox what it does where the server runs it itself \
(`WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE=local`), but for what is listed here. `tests/chain/test_differences.py` runs \
{all} behaviours in both ways, through the released engine, and compares {aspects}. It fails where they differ in \
anything that isn't listed, and where something that is listed no longer differs.

{same} of the {all} are the same in every respect ([which](#the-same)); {differing} differ, each for a reason. Limits \
of time and memory are in [configuration.md](configuration.md); local execution has none.
"""

WIRE = """\
## Over HTTP and WebSocket

All of the above holds for the native transport. A server without anything of ours sends values in its own \
wire's forms, and these lose some of them, at Modal as here: its images are JPEG, and text is what it makes of an \
object. `tests/chain/test_wire_differences.py` sends {all} values into a block and out of it through the released \
client, over both transports, and compares what arrives with local execution. {same} arrive as they are: {names}. \
The wire of a session is that of WebSocket.

| a value | in local execution | into a block | out of a block |
|---|---|---|---|\
"""


def page(families: Mapping[str, tuple[Behaviour, ...]]) -> str:
    """The text of the page."""
    rows = [row for family in families.values() for row in family]
    differing = sum(1 for row in rows if row.reason)
    introduction = INTRODUCTION.format(
        all=len(rows), same=len(rows) - differing, differing=differing, aspects=_listed(ASPECTS)
    )
    return "\n".join([introduction, *_different(families), *_wire(), "## The same\n", *_same(families)])


def _different(families: Mapping[str, tuple[Behaviour, ...]]) -> Iterator[str]:
    for family, rows in families.items():
        if reasons := dict.fromkeys(row.reason for row in rows if row.reason):
            yield f"## {family}\n"
        for reason in reasons:
            yield f"{reason}\n\n| what a block does | differs in |\n|---|---|"
            yield from (f"| {row.name} | {_listed(row.differs)} |" for row in rows if row.reason == reason)
            yield ""


def _wire() -> Iterator[str]:
    kept = [value.name for value in VALUES if not value.into and not value.out]
    yield WIRE.format(all=len(VALUES), same=len(kept), names="; ".join(kept))
    for value in VALUES:
        if value.into or value.out:
            yield f"| {value.name} | `{value.local}` | {_becomes(value.into)} | {_becomes(value.out)} |"
    yield ""


def _becomes(becomes: Becomes) -> str:
    texts = [text if text in ("", REFUSED) else f"`{text}`" for text in each(becomes)]
    shown = [text or "the same" for text in texts]
    if shown[0] == shown[1]:
        return shown[0]
    return ", ".join(f"{transport}: {text}" for transport, text in zip(TRANSPORTS, shown, strict=True))


def _same(families: Mapping[str, tuple[Behaviour, ...]]) -> Iterator[str]:
    yield "| | what a block does |\n|---|---|"
    for family, rows in families.items():
        if names := [row.name for row in rows if not row.reason]:
            yield f"| {family} | {'; '.join(names)} |"
    yield ""


def _listed(aspects: tuple[str, ...] | frozenset[str]) -> str:
    return ", ".join(aspect for aspect in ASPECTS if aspect in aspects)
