"""Secrets: values sealed with a key that lies outside the store."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.fernet import Fernet

from local_modal.ids import derived_id, new_id
from local_modal.store.database import Database, Row


@dataclass(frozen=True)
class Secret:
    """A secret as it may be listed: names of its keys, never their values."""

    secret_id: str
    name: str
    environment: str
    keys: tuple[str, ...]
    created_at: float
    last_used_at: float


class Secrets:
    """A secret without a name (`modal.Secret.from_dict`) has an id derived from its values, under the key."""

    def __init__(self, database: Database, key: str) -> None:
        self._database = database
        self._key = key
        self._box = Fernet(key)

    def put(self, environment: str, name: str, values: Mapping[str, str]) -> Secret:
        """Create it, or replace its values under the same id."""
        text = json.dumps(dict(values), sort_keys=True)
        secret_id = new_id("st") if name else derived_id("st", self._key, environment, text)
        sealed = self._box.encrypt(text.encode())
        self._database.run(
            "INSERT INTO secrets VALUES (?, ?, ?, ?, ?, 0) "
            "ON CONFLICT (environment, name) DO UPDATE SET sealed = excluded.sealed",
            *(secret_id, name or secret_id, environment, sealed, time.time()),
        )
        secret = self.find(environment, name or secret_id)
        assert secret is not None  # noqa: S101 - just written
        return secret

    def find(self, environment: str, name: str) -> Secret | None:
        """The secret of that name."""
        row = self._database.one("SELECT * FROM secrets WHERE environment = ? AND name = ?", environment, name)
        return self._listed(row) if row else None

    def get(self, secret_id: str) -> Secret | None:
        """The secret of that id."""
        row = self._database.one("SELECT * FROM secrets WHERE secret_id = ?", secret_id)
        return self._listed(row) if row else None

    def named(self, environment: str) -> list[Secret]:
        """Those with a name of their own, by name."""
        rows = self._database.all(
            "SELECT * FROM secrets WHERE environment = ? AND name != secret_id ORDER BY name", environment
        )
        return [self._listed(row) for row in rows]

    def values(self, secret_id: str) -> dict[str, str] | None:
        """The values, for a container's environment."""
        row = self._database.one("SELECT sealed FROM secrets WHERE secret_id = ?", secret_id)
        if row is None:
            return None
        self._database.run("UPDATE secrets SET last_used_at = ? WHERE secret_id = ?", time.time(), secret_id)
        return self._open(row["sealed"])

    def delete(self, secret_id: str) -> None:
        """Delete it with its values."""
        self._database.run("DELETE FROM secrets WHERE secret_id = ?", secret_id)

    def _open(self, sealed: bytes) -> dict[str, str]:
        values: dict[str, str] = json.loads(self._box.decrypt(sealed))
        return values

    def _listed(self, row: Row) -> Secret:
        values = dict(row)
        sealed = values.pop("sealed")
        return Secret(**values, keys=tuple(sorted(self._open(sealed))))
