"""docs/troubleshooting.md has an entry for each error that a user can see, and none for an error that is gone."""

import re
from pathlib import Path

import pytest

from tests.docs.messages import ANY, LEAST, ROOT, Message, messages, own_words, unknown

PAGE = ROOT / "docs" / "troubleshooting.md"
ROW = re.compile(r"^\| (?:``\s?(?P<double>.+?)\s?``|`(?P<single>[^`]+)`) \| (?P<answer>.+) \|$", re.MULTILINE)


def entries(page: Path = PAGE) -> dict[str, str]:
    """What a message begins with, `…` for what varies, to what to do about it."""
    return {row["double"] or row["single"]: row["answer"] for row in ROW.finditer(page.read_text("utf-8"))}


def covers(entry: str, message: Message) -> bool:
    """Whether the message begins as the entry does; with the entry's own words, in their order."""
    pattern = ".*".join(map(re.escape, entry.split(ANY)))
    return bool(re.match(pattern, message.template))


def test_every_error_has_an_entry() -> None:
    known = entries()
    missing = [
        f"{message.where}: {message.template}"
        for message in messages()
        if not any(covers(entry, message) for entry in known)
    ]
    assert not missing, "docs/troubleshooting.md has no row for:\n" + "\n".join(missing)


def test_every_entry_is_of_an_error_that_there_is() -> None:
    found = messages()
    assert [entry for entry in entries() if not any(covers(entry, message) for message in found)] == []


def test_every_row_of_the_page_is_an_entry() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) == len(entries()) == len(set(entries()))


@pytest.mark.parametrize("entry", entries())
def test_an_entry_has_words_of_its_own(entry: str) -> None:
    assert len(own_words(entry)) >= LEAST, "it would be found in anything"


def test_every_exception_that_is_raised_is_known() -> None:
    assert unknown() == [], "name it in SHOWN or WITHIN of tests/docs/messages.py"


def test_the_sources_are_read() -> None:
    """Of each family one message, as its user sees it."""
    found = {message.template for message in messages()}
    assert "GNU make 4 or newer is needed, this is …; Debian: apt-get install make" in found
    assert "The container of `…` was lost: …. Try again; if it is lost again, check what the block does." in found
    assert "Image line … can't be replayed on this machine: containers have one user here; leave USER out." in found
    assert any(text.startswith("Modal doesn't accept the credentials (…): set MODAL_TOKEN_ID") for text in found)
    assert any(text.startswith("… is Python …; the engine and the image need 3.11") for text in found)


def test_an_error_without_an_entry_is_found() -> None:
    message = Message("the moon is …, not full", "moon.py:1")
    assert not any(covers(entry, message) for entry in entries())
    assert covers("the moon is …, not", message)
    assert covers("… is …, not full", message)
    assert not covers("moon is", message)
