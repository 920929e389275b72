"""The SQLite file: schema, connection, and the few helpers that the tables are written with."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local_modal.errors import LocalModalError

FIRST = """
CREATE TABLE environments (
    environment_id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, web_suffix TEXT NOT NULL, created_at REAL NOT NULL);
CREATE TABLE apps (
    app_id TEXT PRIMARY KEY, environment TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
    state INTEGER NOT NULL, version INTEGER NOT NULL, created_at REAL NOT NULL, stopped_at REAL NOT NULL);
CREATE INDEX apps_by_name ON apps (environment, name);
CREATE TABLE functions (function_id TEXT PRIMARY KEY, app_id TEXT NOT NULL, tag TEXT NOT NULL, UNIQUE (app_id, tag));
CREATE TABLE definitions (definition_id TEXT PRIMARY KEY, function_id TEXT NOT NULL, definition BLOB NOT NULL);
CREATE TABLE bound_functions (bound_id TEXT PRIMARY KEY, function_id TEXT NOT NULL, params BLOB NOT NULL);
CREATE TABLE deployments (
    app_id TEXT NOT NULL, version INTEGER NOT NULL, layout TEXT NOT NULL, deployed_at REAL NOT NULL,
    deployed_by TEXT NOT NULL, client_version TEXT NOT NULL, tag TEXT NOT NULL, commit_info BLOB NOT NULL,
    rollback_version INTEGER NOT NULL, PRIMARY KEY (app_id, version));
CREATE TABLE secrets (
    secret_id TEXT PRIMARY KEY, name TEXT NOT NULL, environment TEXT NOT NULL, sealed BLOB NOT NULL,
    created_at REAL NOT NULL, last_used_at REAL NOT NULL, UNIQUE (environment, name));
CREATE TABLE mounts (mount_id TEXT PRIMARY KEY, files TEXT NOT NULL);
CREATE TABLE images (
    image_id TEXT PRIMARY KEY, image BLOB NOT NULL, builder_version TEXT NOT NULL, context_mount TEXT NOT NULL);
CREATE TABLE logs (
    entry INTEGER PRIMARY KEY AUTOINCREMENT, app_id TEXT NOT NULL, function_id TEXT NOT NULL, task_id TEXT NOT NULL,
    call_id TEXT NOT NULL, input_id TEXT NOT NULL, source INTEGER NOT NULL, timestamp REAL NOT NULL,
    data TEXT NOT NULL);
CREATE INDEX logs_by_app ON logs (app_id, timestamp);
CREATE TABLE unserved (method TEXT PRIMARY KEY, calls INTEGER NOT NULL, last_at REAL NOT NULL);
"""
ACCESS = """
ALTER TABLE environments ADD COLUMN restricted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN default_role TEXT NOT NULL DEFAULT 'contributor';
CREATE TABLE service_users (
    service_user_id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, token_id TEXT NOT NULL UNIQUE,
    secret_hash TEXT NOT NULL, created_at REAL NOT NULL, last_used_at REAL NOT NULL, expires_at REAL NOT NULL);
CREATE TABLE roles (
    service_user_id TEXT NOT NULL, environment_id TEXT NOT NULL, role TEXT NOT NULL,
    PRIMARY KEY (service_user_id, environment_id));
CREATE TABLE proxy_tokens (
    token_id TEXT PRIMARY KEY, name TEXT NOT NULL, secret_hash TEXT NOT NULL, scoped INTEGER NOT NULL,
    created_at REAL NOT NULL);
CREATE TABLE proxy_token_environments (
    token_id TEXT NOT NULL, environment_id TEXT NOT NULL, PRIMARY KEY (token_id, environment_id));
CREATE TABLE image_tags (
    environment TEXT NOT NULL, tag TEXT NOT NULL, image_id TEXT NOT NULL, published_at REAL NOT NULL,
    PRIMARY KEY (environment, tag));
CREATE TABLE autoscalers (function_id TEXT PRIMARY KEY, settings BLOB NOT NULL);
"""
KEEPING = """
ALTER TABLE functions ADD COLUMN used_at REAL NOT NULL DEFAULT 0;
ALTER TABLE definitions ADD COLUMN used_at REAL NOT NULL DEFAULT 0;
ALTER TABLE bound_functions ADD COLUMN options BLOB NOT NULL DEFAULT x'';
ALTER TABLE bound_functions ADD COLUMN used_at REAL NOT NULL DEFAULT 0;
ALTER TABLE mounts ADD COLUMN used_at REAL NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN used_at REAL NOT NULL DEFAULT 0;
UPDATE functions SET used_at = strftime('%s', 'now');
UPDATE definitions SET used_at = strftime('%s', 'now');
UPDATE bound_functions SET used_at = strftime('%s', 'now');
UPDATE mounts SET used_at = strftime('%s', 'now');
UPDATE images SET used_at = strftime('%s', 'now');
CREATE TABLE calls (
    call_id TEXT PRIMARY KEY, bound_id TEXT NOT NULL, app_id TEXT NOT NULL, kind INTEGER NOT NULL,
    invocation INTEGER NOT NULL, created_at REAL NOT NULL, finished_at REAL NOT NULL);
CREATE TABLE inputs (
    input_id TEXT PRIMARY KEY, call_id TEXT NOT NULL, position INTEGER NOT NULL, retries INTEGER NOT NULL,
    output BLOB);
CREATE INDEX inputs_by_call ON inputs (call_id);
"""
MIGRATIONS = (FIRST, ACCESS, KEEPING)
"""Each brings a store from the version that is its index to the next; a change of the schema is one more."""
SCHEMA_VERSION = len(MIGRATIONS)

Row = sqlite3.Row


class Database:
    """One connection, used from the control plane's event loop only; a write is on disk when its call returns."""

    def __init__(self, path: Path) -> None:
        """Open `path`, making it (readable by its owner only) at the first use.

        Raises:
            LocalModalError: when it is no database of this version.
        """
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise LocalModalError(
                    f"{path} was written by a newer local Modal (schema {version}, here {SCHEMA_VERSION}); "
                    "`local-modal reset` starts anew."
                )
            for done in range(version, SCHEMA_VERSION):
                script = f"BEGIN; {MIGRATIONS[done]} PRAGMA user_version = {done + 1}; COMMIT;"
                self._connection.executescript(script)
        except sqlite3.DatabaseError as error:
            raise LocalModalError(f"{path} is damaged ({error}); `local-modal reset` starts anew.") from error

    def run(self, statement: str, *values: object) -> None:
        """Execute one statement."""
        self._connection.execute(statement, values)

    def delete(self, statement: str, *values: object) -> int:
        """Execute one DELETE; returns how many rows went."""
        return self._connection.execute(statement, values).rowcount

    def run_many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Execute one statement for each row, in one transaction."""
        with self.transaction():
            self._connection.executemany(statement, rows)

    def one(self, query: str, *values: object) -> Row | None:
        """The first row, or None."""
        row: Row | None = self._connection.execute(query, values).fetchone()
        return row

    def all(self, query: str, *values: object) -> list[Row]:
        """Every row."""
        return self._connection.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connection; the write-ahead log is folded in."""
        self._connection.close()
