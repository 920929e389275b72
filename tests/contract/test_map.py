"""Many inputs in one call: `map`, `starmap`, `for_each`, `spawn_map`, in order and not, with failures and without."""

from typing import Any
from uuid import uuid4

import modal
import modal.exception
import pytest

from tests.contract.conftest import Deploy, lookup

SOURCE = """
    import os
    import time

    import modal

    app = modal.App("maps")
    image = modal.Image.debian_slim(python_version="3.11")
    seen = set()


    @app.function(image=image, timeout=30, max_containers=2)
    def double(number, wait=0.0, extra=0):
        time.sleep(wait)
        if number < 0:
            raise ValueError(f"negative: {number}")
        return number * 2 + extra


    @app.function(image=image, timeout=30, max_containers=2)
    def add(a, b):
        return a + b


    @app.function(image=image, timeout=30, max_containers=1, retries=modal.Retries(max_retries=2, initial_delay=0.0))
    def second_time(key):
        if key not in seen:
            seen.add(key)
            raise RuntimeError("the first time")
        return key


    @app.function(image=image, timeout=30)
    def die(number):
        if number == 2:
            os._exit(3)
        return number


    @app.function(image=image, timeout=30, retries=modal.Retries(max_retries=1, initial_delay=0.0))
    def die_again(number):
        die.local(number)
        return number


    @app.cls(
        image=image, timeout=30, single_use_containers=True, enable_memory_snapshot=True, restrict_modal_access=True,
        _experimental_restrict_output=True,
    )
    class Box:
        name: str = modal.parameter()

        @modal.method()
        def label(self, number):
            if number < 0:
                raise ValueError("negative")
            return f"{self.name}{number}"
"""


@pytest.fixture(scope="module")
def app(deploy: Deploy) -> str:
    deploy(SOURCE)
    return "maps"


def function(app: str, name: str, environment: str) -> modal.Function[Any, Any, Any]:
    return modal.Function.from_name(app, name, environment_name=environment)


def test_results_come_in_the_order_of_the_inputs(app: str, environment: str) -> None:
    waits = [0.3, 0.2, 0.1, 0.0]
    assert list(function(app, "double", environment).map(range(4), waits, kwargs={"extra": 1})) == [1, 3, 5, 7]


def test_results_come_as_they_are_ready_where_order_does_not_matter(app: str, environment: str) -> None:
    double = function(app, "double", environment)
    list(double.map(range(2), [0.2, 0.2]))
    found = list(double.map([1, 2, 3], [6.0, 0.0, 0.0], order_outputs=False))
    assert sorted(found) == [2, 4, 6]
    assert found[-1] == 2


def test_starmap_takes_tuples(app: str, environment: str) -> None:
    assert list(function(app, "add", environment).starmap([(1, 2), ("a", "b")])) == [3, "ab"]


def test_nothing_maps_to_nothing(app: str, environment: str) -> None:
    assert list(function(app, "double", environment).map([])) == []


def test_the_first_failure_ends_a_map(app: str, environment: str) -> None:
    with pytest.raises(ValueError, match="negative: -1"):
        list(function(app, "double", environment).map([1, -1, 2]))


def test_failures_are_results_where_that_is_asked_for(app: str, environment: str) -> None:
    double = function(app, "double", environment)
    one, failure, two = double.map([1, -1, 2], return_exceptions=True)
    assert (one, two) == (2, 4)
    assert isinstance(failure, ValueError)


def test_failures_of_restricted_containers_are_text(app: str, environment: str) -> None:
    box = lookup(app, "Box", environment, name="a")
    found = list(box.label.map([1, -1, 2], return_exceptions=True))
    assert (found[0], found[2]) == ("a1", "a2")
    assert isinstance(found[1], modal.exception.RemoteError)
    assert "negative" in str(found[1])


def test_for_each_waits_and_passes_failures_over_where_asked(app: str, environment: str) -> None:
    double = function(app, "double", environment)
    double.for_each([1, -1, 2], ignore_exceptions=True)
    with pytest.raises(ValueError, match="negative"):
        double.for_each([1, -1])


def test_inputs_of_a_map_are_retried_as_the_function_says(app: str, environment: str) -> None:
    keys = [uuid4().hex for _ in range(3)]
    second_time = function(app, "second_time", environment)
    assert list(second_time.map(keys)) == keys
    assert second_time.remote(alone := uuid4().hex) == alone


@pytest.mark.parametrize(
    ("name", "error"), [("die", modal.exception.InternalFailure), ("die_again", modal.exception.RemoteError)]
)
def test_a_container_that_dies_costs_its_own_input_only(
    app: str, environment: str, name: str, error: type[Exception]
) -> None:
    die = function(app, name, environment)
    found = list(die.map([1, 2, 3], return_exceptions=True))
    assert (found[0], found[2]) == (1, 3)
    assert isinstance(found[1], error), repr(found[1])
    assert "died: exit status 3" in str(found[1])
    with pytest.raises(error, match="died: exit status 3"):
        die.remote(2)


def test_more_inputs_than_may_wait_at_once_all_come_back(app: str, environment: str) -> None:
    assert list(function(app, "double", environment).map(range(2500))) == [number * 2 for number in range(2500)]


def test_spawned_maps_run_without_their_caller(app: str, environment: str) -> None:
    double = function(app, "double", environment)
    double.spawn_map([1, 2, 3])
    call = double.experimental_spawn_map([4, 5, -6])
    again = modal.FunctionCall.from_id(call.object_id)
    assert again.num_inputs() == 3
    assert list(again.iter(end=2)) == [8, 10]
    assert again.get(index=1, timeout=20) == 10
    with pytest.raises(ValueError, match="negative: -6"):
        again.get(index=2, timeout=20)


def test_several_spawned_calls_are_gathered(app: str, environment: str) -> None:
    double = function(app, "double", environment)
    assert modal.FunctionCall.gather(*(double.spawn(number) for number in range(3))) == [0, 2, 4]
