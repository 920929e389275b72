"""Kinds of settings: found by their annotations."""

from typing import Annotated, Any, Literal

import pytest

from modal_app.setting_types import Choice, Flag, Items, Number, Text, kind_of

WHOLE = Number(1, 9, "s")
NAME = Text("[a-z]+", "a name")


@pytest.mark.parametrize(
    ("annotation", "kind", "optional"),
    [
        (Annotated[int, WHOLE], WHOLE, False),
        (Annotated[int, WHOLE] | None, WHOLE, True),
        (Annotated[str, NAME], NAME, False),
        (tuple[Annotated[str, NAME], ...], Items(NAME), False),
        (Literal["a", "b"], Choice(("a", "b")), False),
        (Literal["a", "b"] | None, Choice(("a", "b")), True),
    ],
)
def test_an_annotation_names_a_kind(annotation: Any, kind: Any, optional: bool) -> None:
    assert kind_of(annotation) == (kind, optional)


def test_bool_is_a_flag() -> None:
    kind, optional = kind_of(bool)
    assert isinstance(kind, Flag)
    assert not optional


@pytest.mark.parametrize("annotation", [int, str, dict[str, str], list[str]])
def test_an_annotation_without_a_kind_is_an_error_of_the_program(annotation: Any) -> None:
    with pytest.raises(TypeError, match="no kind of setting"):
        kind_of(annotation)


def test_words_and_schema_of_a_number() -> None:
    assert WHOLE.allowed == "a whole number from 1 to 9 (s)"
    assert Number(2).allowed == "a whole number of at least 2"
    assert Number(0.5, 2, "cores", decimal=True).allowed == "a number from 0.5 to 2 (cores)"
    assert WHOLE.schema == {"type": "integer", "minimum": 1, "maximum": 9, "unit": "s"}


def test_a_list_is_split_at_commas_and_white_space_but_not_within_brackets() -> None:
    assert Items(Text("[a-z,\\[\\] ]+", "")).parse("a[b,c], d\ne[f, g]") == ("a[b,c]", "d", "e[f, g]")
