"""Calls as the unmodified client makes them: what comes back, how failures look, what a container starts with."""

import os
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import modal
import modal.exception
import pytest

from tests.contract.conftest import Deploy, lookup

SOURCE = """
    import ctypes
    import os
    import random
    import time
    import uuid

    import modal

    app = modal.App("calls")
    image = modal.Image.debian_slim(python_version="3.11")
    seen = []


    @app.cls(
        image=image, timeout=3, single_use_containers=True, enable_memory_snapshot=True, restrict_modal_access=True,
        _experimental_restrict_output=True,
    )
    class Box:
        workspace: str = modal.parameter()

        @modal.enter(snap=True)
        def load(self):
            self.loaded_at = time.monotonic()
            self.token = uuid.uuid4().hex

        @modal.enter(snap=False)
        def ready(self):
            self.started_for = self.workspace

        @modal.method()
        def echo(self, value):
            return {"workspace": self.workspace, "started_for": self.started_for, "value": value, "token": self.token}

        @modal.method()
        def size(self, value):
            return len(value)

        @modal.method()
        def remember(self, value):
            seen.append(value)
            return {"seen": seen, "random": random.random(), "uuid": uuid.uuid4().hex}

        @modal.method()
        def fail(self, text):
            raise ValueError(text)

        @modal.method()
        def sleep(self, seconds):
            time.sleep(seconds)
            return "slept"

        @modal.method()
        def spin(self):
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass

        @modal.method()
        def die(self, how):
            if how == "exit":
                os._exit(7)
            if how == "signal":
                ctypes.string_at(0)
            return bytearray(4 << 30)[:1]

        @modal.method()
        def big(self, size):
            return b"x" * size

        @modal.method()
        def unserialisable(self):
            return object()


    @app.function(image=image, timeout=20, max_containers=1)
    def plain(a, b=1):
        return {"sum": a + b, "pid": os.getpid(), "count": len(seen.append(a) or seen)}


    @app.function(image=image, timeout=20)
    def through(size):
        return len(Box(workspace="one").big.remote(size))


    @app.cls(image=image, enable_memory_snapshot=True, single_use_containers=True, timeout=20)
    class Eager:
        name: str = modal.parameter()

        @modal.enter(snap=True)
        def load(self):
            self.greeting = "hello " + self.name

        @modal.method()
        def greet(self):
            return self.greeting


    @app.cls(image=image, timeout=20, enable_memory_snapshot=True, single_use_containers=True)
    class Broken:
        @modal.enter(snap=True)
        def load(self):
            raise RuntimeError("no model here")

        @modal.method()
        def run(self):
            return 1


    @app.function(image=image, timeout=20, retries=modal.Retries(max_retries=3, initial_delay=0.0))
    def flaky(key):
        raise RuntimeError("again " + key)
"""


@pytest.fixture(scope="module")
def app(deploy: Deploy) -> str:
    deploy(SOURCE)
    return "calls"


def test_a_call_carries_its_argument_in_and_its_result_back(app: str, environment: str) -> None:
    value = {"text": "ü", "numbers": [1, 2.5, None, True], "bytes": b"\x00\xff"}
    answer = lookup(app, "Box", environment, workspace="one").echo.remote(value)
    assert answer["value"] == value


def test_parameters_reach_the_container_that_they_were_given_for(app: str, environment: str) -> None:
    boxes = {name: lookup(app, "Box", environment, workspace=name) for name in ("one", "two", "drei/ü")}
    for name, box in boxes.items():
        answer = box.echo.remote(1)
        assert (answer["workspace"], answer["started_for"]) == (name, name)


def test_every_input_has_a_fresh_container(app: str, environment: str) -> None:
    box = lookup(app, "Box", environment, workspace="one")
    answers = [box.remember.remote(number) for number in range(4)]
    assert [answer["seen"] for answer in answers] == [[0], [1], [2], [3]]
    assert len({answer["random"] for answer in answers}) == len({answer["uuid"] for answer in answers}) == 4


def test_what_the_snapshot_hook_made_is_there_in_every_container(app: str, environment: str) -> None:
    tokens = {lookup(app, "Box", environment, workspace=str(number)).echo.remote(0)["token"] for number in range(3)}
    assert len(tokens) == 1


def test_a_snapshot_hook_that_reads_parameters_gets_the_right_ones(app: str, environment: str) -> None:
    greetings = [lookup(app, "Eager", environment, name=name).greet.remote() for name in ("a", "b", "a")]
    assert greetings == ["hello a", "hello b", "hello a"]


def test_a_function_without_snapshot_keeps_its_container_for_the_next_call(app: str, environment: str) -> None:
    plain = modal.Function.from_name(app, "plain", environment_name=environment)
    first, second = plain.remote(2, b=3), plain.remote(2)
    assert (first["sum"], second["sum"]) == (5, 3)
    assert (first["count"], second["count"]) == (1, 2)


def test_spawned_calls_are_fetched_by_id(app: str, environment: str) -> None:
    call = lookup(app, "Box", environment, workspace="one").echo.spawn("later")
    again = modal.FunctionCall.from_id(call.object_id)
    assert again.get(timeout=20)["value"] == "later"
    assert call.get(timeout=20)["value"] == "later"


def test_waiting_for_a_result_ends_with_its_timeout(app: str, environment: str) -> None:
    call = lookup(app, "Box", environment, workspace="one").sleep.spawn(2)
    with pytest.raises(TimeoutError):
        call.get(timeout=0.2)
    assert call.get(timeout=20) == "slept"


def test_an_exception_comes_back_as_text_where_output_is_restricted(app: str, environment: str) -> None:
    with pytest.raises(modal.exception.RemoteError, match=r"ValueError.*no such thing"):
        lookup(app, "Box", environment, workspace="one").fail.remote("no such thing")


def test_an_exception_comes_back_as_itself_where_pickles_are_allowed(app: str, environment: str) -> None:
    with pytest.raises(TypeError):
        modal.Function.from_name(app, "plain", environment_name=environment).remote("a", b=1)


@pytest.mark.parametrize("method", ["sleep", "spin"])
def test_a_call_over_its_time_limit_ends_as_modals_timeout(app: str, environment: str, method: str) -> None:
    box = lookup(app, "Box", environment, workspace="one")
    with pytest.raises(modal.exception.FunctionTimeoutError, match="3"):
        box.sleep.remote(60) if method == "sleep" else box.spin.remote()
    assert box.echo.remote(1)["value"] == 1


@pytest.mark.parametrize("how", ["exit", "signal"])
def test_a_container_that_dies_is_modals_internal_failure(app: str, environment: str, how: str) -> None:
    box = lookup(app, "Box", environment, workspace="one")
    with pytest.raises(modal.exception.InternalFailure):
        box.die.remote(how)
    assert box.echo.remote(1)["value"] == 1


def test_too_much_memory_ends_the_call_and_nothing_else(app: str, environment: str) -> None:
    box = lookup(app, "Box", environment, workspace="one")
    with pytest.raises((modal.exception.RemoteError, modal.exception.InternalFailure)):
        box.die.remote("memory")
    assert box.echo.remote(1)["value"] == 1


def test_a_result_that_is_no_data_fails_with_its_reason(app: str, environment: str) -> None:
    with pytest.raises(modal.exception.RemoteError, match=r"(?i)cbor|serial|encode"):
        lookup(app, "Box", environment, workspace="one").unserialisable.remote()


def test_a_snapshot_hook_that_raises_fails_the_call_with_its_reason(app: str, environment: str) -> None:
    with pytest.raises(modal.exception.RemoteError, match="no model here"):
        lookup(app, "Broken", environment).run.remote()


def test_a_cancelled_call_ends_at_once(app: str, environment: str) -> None:
    call = lookup(app, "Box", environment, workspace="one").sleep.spawn(60)
    with pytest.raises(TimeoutError):
        call.get(timeout=0.5)
    call.cancel()
    with pytest.raises(modal.exception.RemoteError):
        call.get(timeout=50)


def test_a_container_that_ignores_a_cancel_is_ended(app: str, environment: str) -> None:
    call = lookup(app, "Box", environment, workspace="one").spin.spawn()
    with pytest.raises(TimeoutError):
        call.get(timeout=0.5)
    call.cancel()
    with pytest.raises(modal.exception.RemoteError, match="cancel"):
        call.get(timeout=20)


def test_large_arguments_and_results_pass(app: str, environment: str) -> None:
    box = lookup(app, "Box", environment, workspace="one")
    assert box.size.remote(os.urandom(24 << 20)) == 24 << 20
    assert len(box.big.remote(8 << 20)) == 8 << 20


def test_a_large_result_reaches_a_container_that_called(app: str, environment: str) -> None:
    assert modal.Function.from_name(app, "through", environment_name=environment).remote(8 << 20) == 8 << 20


def test_retries_run_as_often_as_the_function_says(app: str, environment: str) -> None:
    key = uuid4().hex
    with pytest.raises(RuntimeError, match=key):
        modal.Function.from_name(app, "flaky", environment_name=environment).remote(key)


def test_many_workspaces_at_once_each_get_their_own_answer(app: str, environment: str) -> None:
    boxes = [lookup(app, "Box", environment, workspace=f"w{number}") for number in range(20)]

    def call(number: int) -> bool:
        answer = boxes[number % 20].echo.remote(number)
        return bool(answer["value"] == number and answer["workspace"] == f"w{number % 20}")

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(call, range(100)))


def test_calling_what_is_not_there_says_so(app: str, environment: str) -> None:
    with pytest.raises(modal.exception.NotFoundError, match="calls"):
        lookup(app, "Nothing", environment).run.remote()
    with pytest.raises(modal.exception.NotFoundError, match="no-such-app"):
        lookup("no-such-app", "Box", environment, workspace="one").echo.remote(1)
