"""Kinds read Pulumi's text, and take nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.app_facts import app_facts
from infra.kinds import Kind, WrongValue

MAP = Kind("map", "a map")
COUNT = Kind("integer", "a whole number", minimum=1, maximum=9)


@given(st.text())
def test_any_text_is_a_value_or_a_wrong_value(text: str) -> None:
    for kind in [MAP, COUNT, *(Kind.of(said) for said in app_facts().allowed.values())]:
        try:
            kind.parse(text)
        except WrongValue:
            continue


@given(st.integers())
def test_a_number_is_taken_within_its_bounds_only(number: int) -> None:
    if 1 <= number <= 9:
        assert COUNT.parse(str(number)) == number
    else:
        with pytest.raises(WrongValue):
            COUNT.parse(str(number))


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), st.text()))
def test_a_map_of_texts_is_itself(items: dict[str, str]) -> None:
    assert MAP.parse(json.dumps(items)) == items


def test_the_words_for_a_list_are_those_of_its_items() -> None:
    assert Kind.of(app_facts().allowed["packages"]).rule == (
        "a list without repetitions, each a package with its exact version, such as shapely==2.1.2"
    )
