"""Properties: what is wrong with a value, and where two values differ."""

from typing import Any

import pytest

from infra.modal_provider.properties import Property, changed, count, flag, object_name, required, text, text_map, texts
from infra.modal_provider.values import UNKNOWN


@pytest.mark.parametrize(
    ("prop", "good", "bad"),
    [
        (text(), ["a", "two\nlines"], ["", 1, None, ["a"]]),
        (object_name(), ["a.b_c-1", "a" * 64], ["", "a" * 65, "a/b", "a b", "a\n"]),
        (flag(), [True, False], [1, "true", 0]),
        (count(3), [1, 3], [0, 4, True, 1.5, "1"]),
        (texts(), [[], ["a", "b"], ["a", UNKNOWN]], [["a", "a"], "a", [1], {}]),
        (texts(empty=False), [["a"]], [[]]),
        (text_map("[a-z]", "a letter"), [{}, {"a": "b"}, {"a": UNKNOWN}], [{"A": "b"}, {"a": 1}, ["a"], "a"]),
        (text_map(values=("x", "y")), [{"a": "x"}, {"a": UNKNOWN}], [{"a": "z"}]),
    ],
)
def test_a_value_is_what_it_must_be_or_the_problem_is_said(prop: Property, good: list[Any], bad: list[Any]) -> None:
    assert [prop.problem(value) for value in good] == [None] * len(good)
    assert all(prop.problem(value) for value in bad)


def test_a_problem_never_shows_a_value_of_a_map() -> None:
    problem = text_map("[a-z]", "a letter", ("x",)).problem({"a": "canary"})
    assert problem == "must hold x; 'a' holds something else"


def test_flags_are_kept_apart() -> None:
    prop = required(text()).with_(replaces=True)
    assert (prop.required, prop.replaces, prop.secret) == (True, True, False)


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ("a", "a", {}),
        ("a", "b", {"p": "UPDATE"}),
        (None, "b", {"p": "ADD"}),
        ("a", None, {"p": "DELETE"}),
        (["a"], ["b"], {"p": "UPDATE"}),
        ({"a": "1"}, {"a": "2", "b": "3"}, {"p.a": "UPDATE", "p.b": "ADD"}),
        ({"a.b": "1"}, {}, {'p["a.b"]': "DELETE"}),
        ({"a": "1"}, UNKNOWN, {"p": "UPDATE"}),
    ],
)
def test_differences_are_found_key_by_key(old: Any, new: Any, paths: dict[str, str]) -> None:
    assert changed(old, new, "p") == paths
