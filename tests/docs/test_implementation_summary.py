"""docs/IMPLEMENTATION_SUMMARY.md names files and tests that exist, and leaves out no requirement."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUMMARY = ROOT / "docs" / "IMPLEMENTATION_SUMMARY.md"
REQUIREMENTS = 30
COLUMNS = ("id", "requirement", "where", "test", "state")
STATES = {"done", "part", "later"}


def rows() -> list[dict[str, str]]:
    lines = [line for line in SUMMARY.read_text("utf-8").splitlines() if line.startswith("| R")]
    return [dict(zip(COLUMNS, (cell.strip() for cell in line.strip("| ").split(" | ")), strict=True)) for line in lines]


def test_every_requirement_has_its_row_in_order() -> None:
    assert [row["id"] for row in rows()] == [f"R{number}" for number in range(1, REQUIREMENTS + 1)]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["id"])
def test_a_row_names_files_that_exist_unless_it_is_for_later(row: dict[str, str]) -> None:
    assert row["state"].split(":")[0] in STATES
    named = re.findall(r"`([\w./-]+)`", row["where"] + row["test"])
    assert [path for path in named if not (ROOT / path).exists()] == []
    if row["state"] == "done":
        assert re.search(r"`[^`]+`", row["where"]), "done, but no file is named"
        assert re.search(r"`tests/[^`]+`", row["test"]), "done, but no test is named"
    else:
        assert ": " in row["state"], "what is missing stands behind the state"
