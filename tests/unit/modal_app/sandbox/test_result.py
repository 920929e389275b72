"""What a run function returned reaches the engine as it would locally, whatever holds it."""

import warnings
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from modal_app.sandbox.result import REFUSED, as_engine_takes


class Outputs(dict[str, Any]):
    """A dict of a block's own class."""


@pytest.mark.parametrize("result", [defaultdict(int, a=1), OrderedDict(a=1), Outputs(a=1)])
def test_outputs_in_a_dict_of_another_class_are_outputs(result: dict[str, Any]) -> None:
    for taken in (as_engine_takes(result), *as_engine_takes([result]), *as_engine_takes([[result]])[0]):
        assert type(taken) is dict
        assert taken == {"a": 1}


def test_values_of_outputs_stay_what_they_are() -> None:
    inner = OrderedDict(a=1)
    assert as_engine_takes({"value": inner})["value"] is inner


@pytest.mark.parametrize("result", [None, 7, "text", ({"a": 1},)])
def test_what_is_no_outputs_stays_what_it_is(result: object) -> None:
    assert as_engine_takes(result) is result


async def later() -> dict[str, int]:
    return {"a": 1}


async def one_by_one_later() -> AsyncIterator[dict[str, int]]:
    yield {"a": 1}


def one_by_one() -> Iterator[dict[str, int]]:
    yield {"a": 1}


@pytest.mark.parametrize("function", [later, one_by_one_later, one_by_one])
def test_what_only_a_local_engine_could_hold_is_refused_there(function: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a coroutine that nobody awaits
        assert as_engine_takes(function()) is REFUSED
