"""Spawned calls and their results, which outlive the control plane that ran them: whoever has a call's id gets them."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from local_modal.store.database import Database


@dataclass(frozen=True)
class StoredInput:
    """One input. `output`: a serialised FunctionGetOutputsItem, None while there is none."""

    input_id: str
    call_id: str
    position: int
    retries: int = 0
    output: bytes | None = None


@dataclass(frozen=True)
class StoredCall:
    """One call. `kind` and `invocation` are Modal's enums; times in s since the epoch, 0 for not finished."""

    call_id: str
    bound_id: str
    app_id: str
    kind: int
    invocation: int
    created_at: float
    finished_at: float = 0.0


class CallStore:
    """By call id. Calls that the last control plane left unfinished have ended with it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._database.run("UPDATE calls SET finished_at = ? WHERE finished_at = 0", time.time())
        row = self._database.one("SELECT sum(length(output)) AS size FROM inputs")
        self.size = int(row["size"] or 0) if row else 0
        """Of all outputs (bytes)."""

    def put(self, call: StoredCall) -> None:
        """Keep a new call."""
        values = (call.call_id, call.bound_id, call.app_id, call.kind, call.invocation, call.created_at, 0.0)
        self._database.run("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?)", *values)

    def add(self, inputs: Iterable[StoredInput]) -> None:
        """Keep further inputs."""
        self._database.run_many(
            "INSERT INTO inputs VALUES (?, ?, ?, ?, NULL)",
            [(entry.input_id, entry.call_id, entry.position, entry.retries) for entry in inputs],
        )

    def finish(self, input_id: str, output: bytes, *, ends: str = "") -> None:
        """Keep an input's output; `ends`: the id of its call where it was the last one."""
        self.size += len(output)
        with self._database.transaction():
            self._database.run("UPDATE inputs SET output = ? WHERE input_id = ?", output, input_id)
            if ends:
                self._database.run("UPDATE calls SET finished_at = ? WHERE call_id = ?", time.time(), ends)

    def get(self, call_id: str) -> tuple[StoredCall, list[StoredInput]] | None:
        """The call of that id with its inputs, by position."""
        row = self._database.one("SELECT * FROM calls WHERE call_id = ?", call_id)
        if row is None:
            return None
        inputs = self._database.all("SELECT * FROM inputs WHERE call_id = ? ORDER BY position", call_id)
        return StoredCall(**dict(row)), [StoredInput(**dict(entry)) for entry in inputs]

    def forget(self, call_id: str) -> None:
        """Its caller has everything, or its time is over."""
        row = self._database.one("SELECT sum(length(output)) AS size FROM inputs WHERE call_id = ?", call_id)
        self.size -= int(row["size"] or 0) if row else 0
        with self._database.transaction():
            self._database.run("DELETE FROM inputs WHERE call_id = ?", call_id)
            self._database.run("DELETE FROM calls WHERE call_id = ?", call_id)

    def finished(self, before: float = float("inf")) -> list[str]:
        """Ids of the calls that had finished before a time (s since the epoch), the oldest first."""
        query = "SELECT call_id FROM calls WHERE finished_at > 0 AND finished_at < ? ORDER BY finished_at"
        return [row["call_id"] for row in self._database.all(query, before)]
