"""What containers print, by app, function, call and container; bounded in rows."""

from dataclasses import dataclass

from local_modal.store.database import Database

COLUMNS = ("app_id", "function_id", "task_id", "call_id", "input_id", "source", "timestamp", "data")


@dataclass(frozen=True)
class LogLine:
    """One piece of output. `entry` counts over the whole store and orders it; `source` is a FileDescriptor number."""

    app_id: str
    function_id: str
    task_id: str
    call_id: str
    input_id: str
    source: int
    timestamp: float
    data: str
    entry: int = 0


@dataclass(frozen=True)
class LoggedContainer:
    """A container, running where `finished_at` is 0 (times: s since the epoch)."""

    task_id: str
    app_id: str
    started_at: float
    finished_at: float


@dataclass(frozen=True)
class LogFilter:
    """Which lines are asked for; an empty field asks for all."""

    app_id: str
    function_id: str = ""
    task_id: str = ""
    call_id: str = ""
    input_id: str = ""
    source: int = 0
    text: str = ""

    def where(self) -> tuple[str, list[object]]:
        """The condition in SQL and its values."""
        terms, values = ["app_id = ?"], [self.app_id]
        for column in ("function_id", "task_id", "call_id", "input_id", "source"):
            if wanted := getattr(self, column):
                terms.append(f"{column} = ?")
                values.append(wanted)
        if self.text:
            terms.append("instr(data, ?)")
            values.append(self.text)
        return " AND ".join(terms), list(values)


class Logs:
    """Append, and read by time or by what follows an entry."""

    def __init__(self, database: Database, rows: int) -> None:
        self._database = database
        self._rows = rows

    def append(self, lines: list[LogLine]) -> None:
        """Write the lines in one transaction, and drop the oldest beyond the bound."""
        self._database.run_many(
            f"INSERT INTO logs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})",  # noqa: S608 - our own
            [tuple(getattr(line, column) for column in COLUMNS) for line in lines],
        )
        self._database.run("DELETE FROM logs WHERE entry <= (SELECT max(entry) FROM logs) - ?", self._rows)

    def between(self, wanted: LogFilter, since: float, until: float, limit: int) -> list[LogLine]:
        """The newest `limit` lines of a time range, the oldest first (times: s since the epoch)."""
        where, values = wanted.where()
        query = f"SELECT * FROM logs WHERE {where} AND timestamp >= ? AND timestamp < ? ORDER BY entry DESC LIMIT ?"  # noqa: S608
        rows = self._database.all(query, *values, since, until, limit)
        return [LogLine(**dict(row)) for row in reversed(rows)]

    def after(self, wanted: LogFilter, entry: int, limit: int = 500) -> list[LogLine]:
        """What follows an entry, the oldest first."""
        where, values = wanted.where()
        query = f"SELECT * FROM logs WHERE {where} AND entry > ? ORDER BY entry LIMIT ?"  # noqa: S608 - our own columns
        rows = self._database.all(query, *values, entry, limit)
        return [LogLine(**dict(row)) for row in rows]

    def container(self, task_id: str) -> LoggedContainer | None:
        """A container of an earlier control plane, as far as it printed something."""
        query = (
            "SELECT app_id, min(timestamp) AS first, max(timestamp) AS last FROM logs WHERE task_id = ? GROUP BY app_id"
        )
        row = self._database.one(query, task_id)
        return LoggedContainer(task_id, row["app_id"], row["first"], row["last"]) if row else None

    def last_entry(self) -> int:
        """The newest entry's number, 0 where there is none."""
        row = self._database.one("SELECT max(entry) AS entry FROM logs")
        return int(row["entry"] or 0) if row else 0
