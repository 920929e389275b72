"""Environments: the name space of apps and secrets."""

import time
from dataclasses import dataclass

from local_modal.ids import new_id
from local_modal.store.database import Database


@dataclass(frozen=True)
class Environment:
    """One row of the table."""

    environment_id: str
    name: str
    web_suffix: str
    created_at: float
    restricted: int = 0
    """Members need a role of their own (Modal: RBAC)."""
    default_role: str = "contributor"
    """Of members, where it isn't restricted."""


class Environments:
    """Create, look up, list, rename, delete."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, *, restricted: bool = False, default_role: str = "contributor") -> Environment:
        """Make an environment; sqlite3.IntegrityError where its name is taken."""
        suffix = "" if name == "main" else name
        environment = Environment(new_id("en"), name, suffix, time.time(), int(restricted), default_role)
        self._database.run(
            "INSERT INTO environments (environment_id, name, web_suffix, created_at, restricted, default_role) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            *environment.__dict__.values(),
        )
        return environment

    def get(self, name: str) -> Environment | None:
        """The environment of that name."""
        row = self._database.one("SELECT * FROM environments WHERE name = ?", name)
        return Environment(**dict(row)) if row else None

    def by_id(self, environment_id: str) -> Environment | None:
        """The environment of that id."""
        row = self._database.one("SELECT * FROM environments WHERE environment_id = ?", environment_id)
        return Environment(**dict(row)) if row else None

    def all(self) -> list[Environment]:
        """By age."""
        return [
            Environment(**dict(row)) for row in self._database.all("SELECT * FROM environments ORDER BY created_at")
        ]

    def rename(self, name: str, new_name: str) -> None:
        """Rename it, with everything in it; sqlite3.IntegrityError where the new name is taken."""
        with self._database.transaction():
            self._database.run("UPDATE environments SET name = ? WHERE name = ?", new_name, name)
            self._database.run("UPDATE apps SET environment = ? WHERE environment = ?", new_name, name)
            self._database.run("UPDATE secrets SET environment = ? WHERE environment = ?", new_name, name)
            self._database.run("UPDATE image_tags SET environment = ? WHERE environment = ?", new_name, name)

    def set_web_suffix(self, name: str, suffix: str) -> None:
        """The label that its web addresses carry."""
        self._database.run("UPDATE environments SET web_suffix = ? WHERE name = ?", suffix, name)

    def delete(self, name: str) -> None:
        """Delete it with its secrets, tags and roles; the caller has stopped its apps."""
        with self._database.transaction():
            self._database.run("DELETE FROM secrets WHERE environment = ?", name)
            self._database.run("DELETE FROM image_tags WHERE environment = ?", name)
            for table in ("roles", "proxy_token_environments"):
                self._database.run(
                    f"DELETE FROM {table} WHERE environment_id IN "  # noqa: S608 - our own names
                    "(SELECT environment_id FROM environments WHERE name = ?)",
                    name,
                )
            self._database.run("DELETE FROM environments WHERE name = ?", name)
