"""The SQLite file."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from local_modal.errors import LocalModalError
from local_modal.store.database import SCHEMA_VERSION, Database


def test_the_file_is_its_owners_only(tmp_path: Path) -> None:
    Database(tmp_path / "store").close()
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o600


def test_a_failing_transaction_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "store")

    def half() -> None:
        with database.transaction():
            database.run("INSERT INTO unserved VALUES ('x', 1, 0)")
            database.run("INSERT INTO no_such_table VALUES (1)")

    with pytest.raises(sqlite3.OperationalError):
        half()
    assert database.all("SELECT * FROM unserved") == []
    database.close()


def test_a_store_of_another_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(LocalModalError, match="local-modal reset"):
        Database(path)
