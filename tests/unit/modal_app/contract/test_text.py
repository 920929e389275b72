"""Text of a container on its way to a terminal or a log."""

import pytest

from modal_app.contract.text import visible


def test_what_people_write_stays_as_it_is() -> None:
    assert visible("größe:\t3\n日本 😀") == "größe:\t3\n日本 😀"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\nINFO: fake", "\\x1b[2J\nINFO: fake"),
        ("seen\rINFO: fake", "seen\\x0dINFO: fake"),
        ("a\x00b\x7fc\x9bd", "a\\x00b\\x7fc\\x9bd"),
    ],
)
def test_what_steers_a_terminal_is_written_out(hostile: str, shown: str) -> None:
    assert visible(hostile) == shown
