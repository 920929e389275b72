"""The account's token."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local_modal.credentials import FILE_NAME, Credentials
from local_modal.errors import LocalModalError


def test_the_token_is_drawn_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    first = Credentials.load(tmp_path)
    assert Credentials.load(tmp_path) == first
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_processes_that_draw_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda _: Credentials.load(tmp_path), range(8)))
    assert len(set(drawn)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_only_the_whole_token_is_accepted(tmp_path: Path) -> None:
    token = Credentials.load(tmp_path)
    assert token.accepts(token.token_id, token.token_secret)
    assert not token.accepts(token.token_id, "")
    assert not token.accepts(token.token_id, token.token_secret[:-1])
    assert not token.accepts("", token.token_secret)
    assert not token.accepts(token.token_id, "ü")


def test_a_damaged_file_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{}")
    with pytest.raises(LocalModalError, match="local-modal reset"):
        Credentials.load(tmp_path)
