"""Containers that lie: what the control plane lets through of them, seen by a caller that unpickles what it gets."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import modal
import modal.exception
import pytest
from modal_proto import api_pb2

from local_modal.rpc import access
from tests.contract.conftest import Deploy, LocalModal, lookup

SOURCE = """
    import asyncio
    import os
    import pickle
    import time

    import grpclib
    import modal
    from google.protobuf.message_factory import GetMessageClass
    from modal_proto import api_pb2

    app = modal.App("liars")
    image = modal.Image.debian_slim(python_version="3.11")


    class Bomb:
        def __init__(self, path):
            self.path = path

        def __reduce__(self):
            return (os.mkdir, (self.path,))


    def stub():
        from modal._runtime.container_io_manager import _ContainerIOManager

        return _ContainerIOManager._singleton._client._stub


    def on_loop(coroutine):
        from modal._utils.async_utils import synchronizer

        return asyncio.run_coroutine_threadsafe(coroutine, synchronizer._loop).result(15)


    def own_input():
        from modal._runtime.container_io_manager import _ContainerIOManager

        return _ContainerIOManager._singleton.current_input_id


    def answer(input_id=None, data_format=api_pb2.DATA_FORMAT_PICKLE, **result):
        item = api_pb2.FunctionPutOutputsItem(
            input_id=input_id or own_input(), result=api_pb2.GenericResult(**result), data_format=data_format
        )
        return on_loop(stub().FunctionPutOutputs(api_pb2.FunctionPutOutputsRequest(outputs=[item]), retry=None))


    class Methods:
        @modal.method()
        def pickled_success(self, canary):
            answer(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS, data=pickle.dumps(Bomb(canary)))

        @modal.method()
        def pickled_failure(self, canary):
            bomb = pickle.dumps(Bomb(canary))
            answer(
                status=api_pb2.GenericResult.GENERIC_STATUS_FAILURE, data=bomb, serialized_tb=bomb, tb_line_cache=bomb,
                exception="forged",
            )

        @modal.method()
        def status(self, number):
            answer(status=number, data=pickle.dumps(1), exception="forged")

        @modal.method()
        def blob(self):
            answer(status=1, data_blob_id="bl-" + "x" * 22, data_format=api_pb2.DATA_FORMAT_CBOR)

        @modal.method()
        def answer_for(self, input_id):
            try:
                answer(input_id=input_id, status=1, data=b"\\xf6", data_format=api_pb2.DATA_FORMAT_CBOR)
            except Exception as error:
                return type(error).__name__ + ": " + str(error)
            return "answered"

        @modal.method()
        def sleep(self, seconds):
            print("asleep", flush=True)
            time.sleep(seconds)
            return "mine"

        @modal.method()
        def refused_rpcs(self):
            refused, others = [], {}

            async def call(method):
                wrapper = getattr(stub(), method.name)
                request = GetMessageClass(method.input_type)()
                try:
                    if method.server_streaming:
                        async for _ in wrapper.unary_stream(request):
                            break
                    else:
                        await wrapper(request, retry=None, timeout=5)
                except modal.exception.PermissionDeniedError:
                    refused.append(method.name)
                except Exception as error:
                    others[method.name] = type(error).__name__
                else:
                    others[method.name] = "served"

            for method in api_pb2.DESCRIPTOR.services_by_name["ModalClient"].methods:
                if not method.client_streaming and method.name not in CONTAINER:
                    on_loop(call(method))
            return {"refused": len(refused), "others": others}

        @modal.method()
        def flood(self, size):
            on_loop(stub().FunctionPutOutputs(api_pb2.FunctionPutOutputsRequest(
                outputs=[api_pb2.FunctionPutOutputsItem(input_id="in-x" + "y" * size)]), retry=None))

        @modal.method()
        def big(self, size):
            return b"x" * size

        @modal.method()
        def shout(self, size):
            for _ in range(size >> 16):
                print("x" * (1 << 16))
            return "done"

        @modal.method()
        def call_another(self):
            return modal.Function.from_name("liars", "helper").remote(2)


    CONTAINER = {allowed!r}
    options = dict(image=image, timeout=30, single_use_containers=True, enable_memory_snapshot=True)


    @app.cls(**options, restrict_modal_access=True, _experimental_restrict_output=True)
    class Restricted(Methods):
        pass


    @app.cls(**options)
    class Free(Methods):
        pass


    @app.function(image=image, timeout=20)
    def helper(number):
        return number * 21
"""


@pytest.fixture(scope="module")
def liar(deploy: Deploy, environment: str) -> modal.cls.Obj:
    deploy(SOURCE.replace("{allowed!r}", repr(set(access.RESTRICTED_CONTAINER))))
    return lookup("liars", "Restricted", environment)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A folder that a pickle of the container's would make, were it unpickled."""
    return tmp_path / "canary"


def test_a_pickled_result_is_refused_where_the_definition_allows_data_only(liar: modal.cls.Obj, canary: Path) -> None:
    with pytest.raises(modal.exception.RemoteError, match=r"refused.*PICKLE"):
        liar.pickled_success.remote(str(canary))
    assert not canary.exists()


def test_a_pickled_exception_comes_back_as_text(liar: modal.cls.Obj, canary: Path) -> None:
    with pytest.raises(modal.exception.RemoteError, match="forged"):
        liar.pickled_failure.remote(str(canary))
    assert not canary.exists()


@pytest.mark.usefixtures("liar")
def test_the_same_pickles_run_in_a_caller_that_allows_them(environment: str, canary: Path) -> None:
    """The control: without the restriction these attacks succeed, so the tests above prove something."""
    free = lookup("liars", "Free", environment)
    free.pickled_success.remote(str(canary))
    assert canary.exists()


@pytest.mark.parametrize("status", [0, 4, 5, 6, 9, 10])
def test_statuses_that_are_the_control_planes_to_say_are_refused(liar: modal.cls.Obj, status: int) -> None:
    with pytest.raises(modal.exception.RemoteError, match="refused"):
        liar.status.remote(status)


def test_a_blob_as_a_result_is_refused(liar: modal.cls.Obj) -> None:
    with pytest.raises(modal.exception.RemoteError, match=r"refused.*blob"):
        liar.blob.remote()


def test_a_container_answers_its_own_input_only(local: LocalModal, liar: modal.cls.Obj) -> None:
    other = liar.sleep.spawn(3)
    assert "no input of this container" in liar.answer_for.remote(input_of(local, other.object_id))
    assert other.get(timeout=20) == "mine"


def input_of(local: LocalModal, call_id: str) -> str:
    """The id of a running call's input, from the line that its container prints."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with closing(sqlite3.connect(local.home / "store.sqlite3")) as store:
            row = store.execute("SELECT input_id FROM logs WHERE call_id = ?", (call_id,)).fetchone()
        if row:
            return str(row[0])
    raise AssertionError("the container printed nothing")


@pytest.mark.usefixtures("local")
def test_a_restricted_container_may_call_nothing_but_its_own_life(liar: modal.cls.Obj) -> None:
    answer = liar.refused_rpcs.remote()
    assert answer["others"] == {}
    methods = api_pb2.DESCRIPTOR.services_by_name["ModalClient"].methods
    assert answer["refused"] == sum(method.name not in access.RESTRICTED_CONTAINER for method in methods)


@pytest.mark.usefixtures("liar")
def test_a_container_without_restriction_may_call_deployed_functions(environment: str) -> None:
    assert lookup("liars", "Free", environment).call_another.remote() == 42


@pytest.mark.parametrize("method", ["flood", "big"])
@pytest.mark.usefixtures("local")
def test_too_much_data_is_refused_with_its_limit(liar: modal.cls.Obj, method: str) -> None:
    with pytest.raises(modal.exception.RemoteError, match=r"refused.*33554432"):
        getattr(liar, method).remote(40 << 20)
    assert liar.sleep.remote(0) == "mine"


@pytest.mark.usefixtures("local")
def test_a_flood_of_output_is_cut_and_the_call_goes_on(
    liar: modal.cls.Obj, cli: Callable[..., CompletedProcess[str]]
) -> None:
    assert liar.shout.remote(16 << 20) == "done"
    end = time.monotonic() + 20
    while "bytes of output dropped" not in (text := cli("app", "logs", "liars", "--tail", "500").stdout):
        assert time.monotonic() < end
    assert len(text) < 4 << 20
