"""Generators: values as they come, failures after some of them, and containers that lie about what they yielded."""

import itertools
import time
from typing import Any

import modal
import modal.exception
import pytest

from tests.contract.conftest import Deploy, lookup

SOURCE = """
    import asyncio
    import pickle
    import time

    import modal
    from modal_proto import api_pb2

    app = modal.App("generators")
    image = modal.Image.debian_slim(python_version="3.11")


    @app.function(image=image, timeout=30)
    def count(to, wait=0.0):
        for number in range(to):
            yield {"number": number, "at": time.time()}
            time.sleep(wait)


    @app.function(image=image, timeout=30)
    async def count_async(to):
        for number in range(to):
            yield number


    @app.function(image=image, timeout=30)
    def call_generator(to):
        return [item["number"] for item in modal.Function.from_name("generators", "count").remote_gen(to)]


    def io_manager():
        from modal._runtime.container_io_manager import _ContainerIOManager

        return _ContainerIOManager._singleton


    def on_loop(coroutine):
        from modal._utils.async_utils import synchronizer

        return asyncio.run_coroutine_threadsafe(coroutine, synchronizer._loop).result(15)


    def put(call_id, chunk):
        request = api_pb2.FunctionCallPutDataRequest(function_call_id=call_id, data_chunks=[chunk])
        return on_loop(io_manager()._client._stub.FunctionCallPutDataOut(request))


    class Methods:
        @modal.method()
        def words(self, text):
            yield from text.split()

        @modal.method()
        def fail(self, after):
            for number in range(after):
                yield number
            raise ValueError("no more words")

        @modal.method()
        def big(self, size, times):
            for _ in range(times):
                yield b"x" * size

        @modal.method()
        def many(self, times):
            for number in range(times):
                yield number

        @modal.method()
        def forge(self, how):
            call_id = modal.current_function_call_id()
            data = pickle.dumps("forged") if how == "pickle" else b"\\xf6"
            data_format = api_pb2.DATA_FORMAT_PICKLE if how == "pickle" else api_pb2.DATA_FORMAT_CBOR
            chunk = api_pb2.DataChunk(data_format=data_format, index=7 if how == "gap" else 1)
            if how == "blob":
                chunk.data_blob_id = "bl-" + "x" * 22
            else:
                chunk.data = data
            put("fc-" + "x" * 22 if how == "call" else call_id, chunk)
            yield "more"

        @modal.method()
        def end(self, total):
            yield 1
            time.sleep(0.2)
            done = api_pb2.GeneratorDone(items_total=total).SerializeToString()
            item = api_pb2.FunctionPutOutputsItem(
                input_id=io_manager().current_input_id,
                result=api_pb2.GenericResult(status=1, data=done),
                data_format=api_pb2.DATA_FORMAT_GENERATOR_DONE,
            )
            on_loop(io_manager()._client._stub.FunctionPutOutputs(api_pb2.FunctionPutOutputsRequest(outputs=[item])))

        @modal.method()
        def plain(self):
            done = api_pb2.GeneratorDone(items_total=3).SerializeToString()
            item = api_pb2.FunctionPutOutputsItem(
                input_id=io_manager().current_input_id,
                result=api_pb2.GenericResult(status=1, data=done),
                data_format=api_pb2.DATA_FORMAT_GENERATOR_DONE,
            )
            on_loop(io_manager()._client._stub.FunctionPutOutputs(api_pb2.FunctionPutOutputsRequest(outputs=[item])))


    options = dict(image=image, timeout=30, single_use_containers=True, enable_memory_snapshot=True)


    @app.cls(**options, restrict_modal_access=True, _experimental_restrict_output=True)
    class Restricted(Methods):
        pass


    @app.cls(**options)
    class Free(Methods):
        pass
"""


@pytest.fixture(scope="module")
def app(deploy: Deploy) -> str:
    deploy(SOURCE)
    return "generators"


@pytest.fixture
def restricted(app: str, environment: str) -> modal.cls.Obj:
    return lookup(app, "Restricted", environment)


def function(app: str, name: str, environment: str) -> modal.Function[Any, Any, Any]:
    return modal.Function.from_name(app, name, environment_name=environment)


def test_values_come_in_order_and_completely(app: str, environment: str) -> None:
    count = function(app, "count", environment)
    assert [item["number"] for item in count.remote_gen(2500)] == list(range(2500))
    assert list(count.remote_gen(0)) == []
    assert list(function(app, "count_async", environment).remote_gen(3)) == [0, 1, 2]


def test_values_come_as_they_are_yielded(app: str, environment: str) -> None:
    count = function(app, "count", environment)
    list(count.remote_gen(1))
    came = [(item["at"], time.time()) for item in count.remote_gen(3, wait=2.0)]
    for (_, received), (later, _) in itertools.pairwise(came):
        assert received < later


def test_a_method_of_a_restricted_class_yields(restricted: modal.cls.Obj) -> None:
    assert list(restricted.words.remote_gen("one two three")) == ["one", "two", "three"]


@pytest.mark.parametrize("after", [0, 2])
def test_a_generator_that_fails_gives_its_error(restricted: modal.cls.Obj, after: int) -> None:
    with pytest.raises(modal.exception.RemoteError, match="no more words"):
        list(restricted.fail.remote_gen(after))


def test_an_exception_of_a_generator_comes_back_as_itself_where_pickles_are_allowed(app: str, environment: str) -> None:
    with pytest.raises(ValueError, match="no more words"):
        list(lookup(app, "Free", environment).fail.remote_gen(2))


def test_a_caller_that_stops_early_disturbs_nobody(restricted: modal.cls.Obj) -> None:
    for item in restricted.many.remote_gen(1000):
        if item == 3:
            break
    assert list(restricted.words.remote_gen("still there")) == ["still", "there"]


def test_containers_call_generators(app: str, environment: str) -> None:
    assert function(app, "call_generator", environment).remote(4) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("how", "why"), [("pickle", "PICKLE"), ("blob", "blob"), ("gap", "value 7 after 0"), ("call", "no call")]
)
@pytest.mark.usefixtures("local")
def test_a_restricted_container_yields_data_in_order_for_its_own_call_only(
    restricted: modal.cls.Obj, how: str, why: str
) -> None:
    with pytest.raises(modal.exception.RemoteError, match=why):
        list(restricted.forge.remote_gen(how))


def test_the_same_pickle_reaches_a_caller_that_allows_it(app: str, environment: str) -> None:
    """The control: a pickle passes where the definition allows it, so the test above proves something."""
    values = lookup(app, "Free", environment).forge.remote_gen("pickle")
    assert next(values) == "forged"
    values.close()


@pytest.mark.usefixtures("local")
def test_an_end_that_says_another_number_of_values_is_refused(restricted: modal.cls.Obj) -> None:
    with pytest.raises(modal.exception.RemoteError, match="yielded 1 values and says that it was 5"):
        list(restricted.end.remote_gen(5))


@pytest.mark.usefixtures("local")
def test_a_function_that_answers_as_a_generator_is_refused(app: str, environment: str) -> None:
    with pytest.raises(modal.exception.RemoteError, match="refused"):
        lookup(app, "Restricted", environment).plain.remote()


@pytest.mark.usefixtures("local")
def test_what_a_generator_yields_is_bounded_in_all(restricted: modal.cls.Obj) -> None:
    with pytest.raises(modal.exception.RemoteError, match=r"refused.*33554432"):
        list(restricted.big.remote_gen(6 << 20, 6))
    assert [len(item) for item in restricted.big.remote_gen(6 << 20, 2)] == [6 << 20] * 2
