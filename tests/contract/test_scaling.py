"""How many containers there are, and how many inputs each works on: options, autoscaler, concurrency, batching."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import modal
import modal.exception
import pytest

from tests.contract.conftest import Deploy, lookup

SOURCE = """
    import os
    import time
    from uuid import uuid4

    import modal

    app = modal.App("scaling")
    image = modal.Image.debian_slim(python_version="3.11")
    MINE = uuid4().hex


    @app.function(image=image, timeout=40, max_containers=1)
    def variables():
        return dict(os.environ)


    @app.function(image=image, timeout=40)
    def sleep(seconds):
        time.sleep(seconds)
        return MINE


    @app.function(image=image, timeout=40, max_containers=1)
    @modal.concurrent(max_inputs=4)
    def together(seconds):
        start = time.time()
        time.sleep(seconds)
        return MINE, start, time.time()


    @app.function(image=image, timeout=40, max_containers=1)
    @modal.concurrent(max_inputs=4, target_inputs=1)
    def pressed(seconds):
        start = time.time()
        time.sleep(seconds)
        return MINE, start, time.time()


    @app.function(image=image, timeout=40, max_containers=1)
    @modal.batched(max_batch_size=4, wait_ms=2000)
    def batch(numbers):
        if any(number < 0 for number in numbers):
            raise ValueError("negative")
        return [(number * 2, len(numbers)) for number in numbers]


    @app.function(image=image, timeout=40, min_containers=1, scaledown_window=2)
    def kept():
        return MINE


    @app.function(image=image, timeout=40, scaledown_window=2)
    def brief():
        return MINE


    @app.cls(
        image=image, timeout=40, single_use_containers=True, enable_memory_snapshot=True, restrict_modal_access=True,
        _experimental_restrict_output=True,
    )
    class Box:
        name: str = modal.parameter()

        @modal.method()
        def sleep(self, seconds):
            time.sleep(seconds)
            return self.name

        @modal.method()
        def variable(self, name):
            return os.environ.get(name)
"""


@pytest.fixture(scope="module")
def app(deploy: Deploy) -> str:
    deploy(SOURCE)
    return "scaling"


@pytest.fixture
def function(app: str, environment: str) -> Callable[[str], modal.Function[Any, Any, Any]]:
    return lambda name: modal.Function.from_name(app, name, environment_name=environment)


Functions = Callable[[str], modal.Function[Any, Any, Any]]


def overlapping(spans: list[tuple[str, float, float]]) -> int:
    """Most spans at one moment."""
    return max(sum(start <= moment < end for _, start, end in spans) for _, moment, _ in spans)


def test_options_change_variables_and_time_limit_of_what_they_are_given_to(function: Functions) -> None:
    variables = function("variables")
    changed = variables.with_options(env={"ADDED": "yes"})
    assert changed.remote()["ADDED"] == "yes"
    assert "ADDED" not in variables.remote()
    with pytest.raises(modal.exception.FunctionTimeoutError, match="2"):
        function("sleep").with_options(timeout=2).remote(20)


def test_options_of_a_class_are_kept_apart_from_its_other_instances(app: str, environment: str) -> None:
    cls = modal.Cls.from_name(app, "Box", environment_name=environment)
    changed = cls.with_options(timeout=2, env={"ADDED": "yes"})(name="a")
    assert changed.variable.remote("ADDED") == "yes"
    assert cls(name="a").variable.remote("ADDED") is None
    with pytest.raises(modal.exception.FunctionTimeoutError):
        changed.sleep.remote(20)
    assert cls(name="a").sleep.remote(2.5) == "a"


def test_options_change_the_number_of_containers_and_of_retries(function: Functions) -> None:
    one = function("sleep").with_options(max_containers=1)
    assert len(set(one.map([0.2] * 6))) == 1
    with ThreadPoolExecutor(3) as threads:
        several = set(threads.map(function("sleep").remote, [3.0] * 3))
    assert len(several) > 1


def test_options_outlive_a_deployment(deploy: Deploy, function: Functions) -> None:
    changed = function("variables").with_options(env={"ADDED": "yes"})
    before = changed.remote()["MODAL_TASK_ID"]
    deploy(SOURCE.replace("MINE = uuid4().hex", "MINE = 'new' + uuid4().hex"))
    after = changed.remote()
    assert after["ADDED"] == "yes"
    assert after["MODAL_TASK_ID"] != before


@pytest.mark.usefixtures("local")
def test_options_that_local_modal_can_not_give_are_refused_by_name(function: Functions) -> None:
    with pytest.raises(modal.exception.InvalidError, match="doesn't serve a GPU"):
        function("sleep").with_options(gpu="T4").remote(0)


@pytest.mark.usefixtures("local")
def test_a_secret_of_another_environment_can_not_be_laid_over_a_function(function: Functions) -> None:
    modal.Secret.objects.create("elsewhere", {"KEY": "value"}, environment_name="main", allow_existing=True)
    try:
        secret = modal.Secret.from_name("elsewhere", environment_name="main")
        with pytest.raises(modal.exception.NotFoundError, match="environment"):
            function("variables").with_options(secrets=[secret]).remote()
    finally:
        modal.Secret.objects.delete("elsewhere", environment_name="main")


def test_a_container_works_on_as_many_inputs_at_once_as_it_may(function: Functions) -> None:
    together = function("together")
    together.remote(0)
    spans = list(together.map([1.0] * 8))
    assert len({mine for mine, _, _ in spans}) == 1
    assert overlapping(spans) == 4
    assert overlapping(list(together.with_concurrency(max_inputs=2).map([1.0] * 6))) == 2


def test_more_inputs_at_once_are_taken_where_inputs_wait(function: Functions) -> None:
    pressed = function("pressed")
    pressed.remote(0)
    assert 1 < overlapping(list(pressed.map([1.0] * 16))) <= 4


def test_inputs_are_gathered_into_batches(function: Functions) -> None:
    batch = function("batch")
    assert batch.remote(21) == (42, 1)
    found = list(batch.map(range(8)))
    assert [value for value, _ in found] == [number * 2 for number in range(8)]
    assert max(size for _, size in found) == 4
    assert max(size for _, size in batch.with_batching(max_batch_size=2, wait_ms=1000).map(range(4))) == 2


def test_a_failing_batch_fails_each_of_its_inputs(function: Functions) -> None:
    found = list(function("batch").map([1, -1], return_exceptions=True))
    assert any(isinstance(entry, ValueError) for entry in found)


def test_an_idle_container_goes_after_its_window_unless_it_is_to_be_kept(function: Functions) -> None:
    kept, brief = function("kept"), function("brief")
    mine = kept.remote()
    first = brief.remote()
    end = time.monotonic() + 40
    while brief.get_current_stats().num_total_runners:
        assert time.monotonic() < end
    assert brief.remote() != first
    assert kept.remote() == mine


@pytest.mark.needs_client("Function.autoscaler")
def test_the_autoscaler_is_changed_without_a_deployment_and_says_what_it_is(app: str, environment: str) -> None:
    method = lookup(app, "Box", environment, name="warm").sleep
    assert method.autoscaler.update(min_containers=3).min_containers == 3
    changed = method.autoscaler.update(max_containers=5)
    assert (changed.min_containers, changed.max_containers) == (3, 5)
    assert method.remote(0) == "warm"
    method.autoscaler.update(min_containers=0)


@pytest.mark.needs_client("Function.autoscaler")
def test_an_autoscaler_that_is_changed_is_followed(function: Functions) -> None:
    sleep = function("sleep")
    sleep.autoscaler.update(max_containers=1, min_containers=1)
    end = time.monotonic() + 40
    while sleep.get_current_stats().num_total_runners < 1:
        assert time.monotonic() < end
    assert len(set(sleep.map([0.2] * 5))) == 1


def test_containers_that_are_asked_for_are_there_before_the_first_input(deploy: Deploy, function: Functions) -> None:
    deploy(SOURCE.replace("MINE = uuid4().hex", "MINE = 'again' + uuid4().hex"))
    end = time.monotonic() + 40
    while function("kept").get_current_stats().num_total_runners < 1:
        assert time.monotonic() < end
