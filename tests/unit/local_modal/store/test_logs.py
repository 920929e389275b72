"""Log lines in the store."""

from dataclasses import replace
from pathlib import Path

import pytest

from local_modal.store.database import Database
from local_modal.store.logs import LogFilter, LogLine, Logs

LINE = LogLine("ap-1", "fu-1", "ta-1", "fc-1", "in-1", 1, 10.0, "text")


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(Database(tmp_path / "store"), rows=10)


def data(lines: list[LogLine]) -> list[str]:
    return [line.data for line in lines]


def test_the_newest_lines_of_a_time_range_come_oldest_first(logs: Logs) -> None:
    logs.append([replace(LINE, timestamp=float(second), data=str(second)) for second in range(8)])
    assert data(logs.between(LogFilter("ap-1"), 2.0, 7.0, 3)) == ["4", "5", "6"]


def test_following_starts_behind_an_entry(logs: Logs) -> None:
    logs.append([replace(LINE, data="a"), replace(LINE, data="b")])
    last = logs.last_entry()
    logs.append([replace(LINE, data="c")])
    assert data(logs.after(LogFilter("ap-1"), last)) == ["c"]


@pytest.mark.parametrize(
    "wanted",
    [LogFilter("ap-2"), LogFilter("ap-1", task_id="ta-2"), LogFilter("ap-1", source=2), LogFilter("ap-1", text="%")],
)
def test_a_filter_leaves_out_what_is_not_asked_for(logs: Logs, wanted: LogFilter) -> None:
    logs.append([LINE])
    assert data(logs.after(LogFilter("ap-1", text="ex"), 0)) == ["text"]
    assert logs.after(wanted, 0) == []


def test_the_oldest_lines_go_when_there_are_too_many(logs: Logs) -> None:
    logs.append([replace(LINE, data=str(number)) for number in range(25)])
    assert data(logs.after(LogFilter("ap-1"), 0)) == [str(number) for number in range(15, 25)]
