"""docs/DIFFERENCES.md, written out of the table."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.chain.behaviours.row import ASPECTS, Behaviour

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


def page(families: Mapping[str, tuple[Behaviour, ...]]) -> str:
    """The text of the page."""
    rows = [row for family in families.values() for row in family]
    differing = sum(1 for row in rows if row.reason)
    introduction = INTRODUCTION.format(
        all=len(rows), same=len(rows) - differing, differing=differing, aspects=_listed(ASPECTS)
    )
    return "\n".join([introduction, *_different(families), "## The same\n", *_same(families)])


def _different(families: Mapping[str, tuple[Behaviour, ...]]) -> Iterator[str]:
    for family, rows in families.items():
        if reasons := dict.fromkeys(row.reason for row in rows if row.reason):
            yield f"## {family}\n"
        for reason in reasons:
            yield f"{reason}\n\n| what a block does | differs in |\n|---|---|"
            yield from (f"| {row.name} | {_listed(row.differs)} |" for row in rows if row.reason == reason)
            yield ""


def _same(families: Mapping[str, tuple[Behaviour, ...]]) -> Iterator[str]:
    yield "| | what a block does |\n|---|---|"
    for family, rows in families.items():
        if names := [row.name for row in rows if not row.reason]:
            yield f"| {family} | {'; '.join(names)} |"
    yield ""


def _listed(aspects: tuple[str, ...] | frozenset[str]) -> str:
    return ", ".join(aspect for aspect in ASPECTS if aspect in aspects)
