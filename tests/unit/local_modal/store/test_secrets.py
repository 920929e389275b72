"""Secrets in the store."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from local_modal.store.database import Database
from local_modal.store.secrets import Secrets


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(Database(tmp_path / "store"), Fernet.generate_key().decode())


def test_values_come_back_and_are_not_listed(secrets: Secrets) -> None:
    secret = secrets.put("main", "db", {"PASSWORD": "hush", "USER": "me"})
    assert secret.keys == ("PASSWORD", "USER")
    assert secrets.values(secret.secret_id) == {"PASSWORD": "hush", "USER": "me"}
    assert "hush" not in repr(secrets.named("main"))


def test_replacing_values_keeps_the_id(secrets: Secrets) -> None:
    first = secrets.put("main", "db", {"A": "1"})
    assert secrets.put("main", "db", {"A": "2"}).secret_id == first.secret_id
    assert secrets.values(first.secret_id) == {"A": "2"}


def test_an_anonymous_secret_has_the_same_id_for_the_same_values_only(secrets: Secrets) -> None:
    first = secrets.put("main", "", {"A": "1"})
    assert secrets.put("main", "", {"A": "1"}).secret_id == first.secret_id
    assert secrets.put("main", "", {"A": "2"}).secret_id != first.secret_id
    assert secrets.named("main") == []


def test_a_deleted_secret_is_gone(secrets: Secrets) -> None:
    secret = secrets.put("main", "db", {"A": "1"})
    secrets.delete(secret.secret_id)
    assert secrets.values(secret.secret_id) is None
