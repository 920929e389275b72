"""Object ids."""

import re

import pytest

from local_modal.ids import derived_id, new_id


def test_ids_have_the_form_by_which_the_client_tells_them_from_names() -> None:
    for made in (new_id("ap"), derived_id("ap", "x")):
        assert re.fullmatch(r"ap-[a-zA-Z0-9]{22}", made)


def test_new_ids_differ() -> None:
    assert len({new_id("in") for _ in range(1000)}) == 1000


@pytest.mark.parametrize("other", [("a", "bc"), ("ab", "c", ""), (b"abc",)])
def test_an_id_is_derived_from_its_parts_and_from_how_they_are_split(other: tuple[str | bytes, ...]) -> None:
    assert derived_id("fu", "ab", "c") == derived_id("fu", b"ab", "c")
    assert derived_id("fu", "ab", "c") != derived_id("fu", *other)
