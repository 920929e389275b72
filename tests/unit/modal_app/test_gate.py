"""What a hostile container may send, and what becomes of it: nothing runs in this process, or fills its memory."""

import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import repeat
from pathlib import Path
from typing import Any

import cbor2
import modal
import pytest
from modal._serialization import serialize
from modal_proto import api_pb2
from roboflow_workflows.errors import DynamicBlockCodeError, DynamicBlockError

from modal_app import gate
from modal_app.contract.response import build_response
from modal_app.server import configuration
from modal_app.settings import Limits
from tests.unit.modal_app.server.control_plane import (
    CBOR,
    FAILURE,
    PICKLE,
    SUCCESS,
    ControlPlane,
    Output,
    forged,
    output,
)
from tests.unit.modal_app.server.test_executor import run

SOURCE = "def run(self):\n    return {}"


class Trap:
    """Unpickling it leaves a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "unpickled"


FORGERIES: dict[str, Callable[[bytes], Output]] = {
    "a result that is a pickle": lambda trap: output(data_format=PICKLE, data=trap),
    "a result without a format": lambda trap: output(data_format=0, data=trap),
    "a result that says it ends a generator": lambda trap: output(
        data_format=api_pb2.DATA_FORMAT_GENERATOR_DONE, data=trap
    ),
    "a result of a web endpoint": lambda trap: output(data_format=api_pb2.DATA_FORMAT_ASGI, data=trap),
    "a pickled exception": lambda trap: output(FAILURE, PICKLE, data=trap, exception="boom"),
    "a pickled exception without a format": lambda trap: output(FAILURE, 0, data=trap, exception="boom"),
    "a pickled exception said to be CBOR": lambda trap: output(FAILURE, CBOR, data=trap, exception="boom"),
    "a pickled traceback": lambda trap: output(
        FAILURE, PICKLE, data=serialize(ValueError()), serialized_tb=trap, tb_line_cache=trap, exception="boom"
    ),
    "a pickle said to be CBOR": lambda trap: output(data=trap),
    "a pickle inside of CBOR": lambda trap: output(
        data=cbor2.dumps(build_response(result={"$kind": "pickle", "d": trap}))
    ),
    "an unknown status with a pickle": lambda trap: output(99, PICKLE, data=trap, exception="boom"),
}


@pytest.mark.parametrize("input_plane", [False, True], ids=["control plane", "input plane"])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_nothing_is_unpickled(forgery: str, input_plane: bool, plane: ControlPlane, mark: Path) -> None:
    if input_plane:
        plane.use_input_plane()
    trap = pickle.dumps(Trap(mark))
    plane.container = forged(FORGERIES[forgery](trap))
    with pytest.raises((DynamicBlockError, DynamicBlockCodeError)):
        run(SOURCE)
    assert not mark.exists()


def test_a_result_comes_by_way_of_the_input_plane_too(plane: ControlPlane) -> None:
    plane.use_input_plane()
    assert run("def run(self, x):\n    return {'x': x + 1}", x=1) == {"x": 2}
    assert {"AttemptStart", "AttemptAwait"} <= set(plane.calls)
    assert "FunctionMap" not in plane.calls


def test_without_the_gate_the_client_would_have_unpickled_it(plane: ControlPlane, mark: Path) -> None:
    plane.container = forged(output(data_format=PICKLE, data=pickle.dumps(Trap(mark))))
    with modal.Client.from_credentials(*plane.credentials) as client:
        executor = modal.Cls.from_name("inference-custom-blocks", "Executor", client=client)(workspace_id="ws")
        executor.execute.remote({})
    assert mark.exists()


def test_other_clients_of_the_process_keep_their_ways(plane: ControlPlane) -> None:
    run(SOURCE)
    plane.container = forged(output(data_format=PICKLE, data=serialize({"any": {1, 2}})))
    with modal.Client.from_credentials(*plane.credentials) as client:
        executor = modal.Cls.from_name("another-app", "Executor", client=client)(workspace_id="ws")
        assert executor.execute.remote({}) == {"any": {1, 2}}


@contextmanager
def gated(plane: ControlPlane, max_bytes: int = 1000) -> Iterator[tuple[modal.Client, Any, gate.CallRecord]]:
    """A client behind the gate, the app's class through it, and the record of the call being made."""
    with gate.call_limits(step_seconds=5, seconds=5, max_bytes=max_bytes) as record:
        client = gate.open_client(*plane.credentials)
        executor = modal.Cls.from_name("inference-custom-blocks", "Executor", client=client)(workspace_id="ws")
        try:
            yield client, executor, record
        finally:
            client.close()


def test_a_call_that_running_a_function_does_not_take_is_refused_by_name(plane: ControlPlane) -> None:
    with gated(plane) as (client, _, _), pytest.raises(gate.RefusedOutputError, match="doesn't take SecretList"):
        modal.Secret.objects.list(client=client)
    assert plane.calls == []


def test_a_stream_is_refused(plane: ControlPlane) -> None:
    """Generator chunks come over one; a hostile control plane could say that the function is a generator."""
    plane.metadata.method_handle_metadata["execute"].function_type = api_pb2.Function.FUNCTION_TYPE_GENERATOR
    with gated(plane) as (_, executor, _), pytest.raises(gate.RefusedOutputError, match="takes no stream"):
        list(executor.execute.remote_gen({}))
    assert "FunctionCallGetDataOut" not in plane.calls


def test_a_result_above_the_limit_is_refused_before_it_is_decoded(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(result_bytes=1000, result_values=10, output_chars=100)
    monkeypatch.setattr(configuration, "LIMITS", limits)
    plane.container = forged(output(data=cbor2.dumps(b"x" * (limits.answer_bytes + 1))))
    with pytest.raises(DynamicBlockCodeError, match=r"ResultTooLarge: .* exceeds the limit of 1,000 bytes"):
        run(SOURCE)


@contextmanager
def blob_store(chunks: Iterator[bytes]) -> Iterator[str]:
    """An HTTP server whose one blob is sent chunk by chunk; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                for chunk in chunks:
                    self.wfile.write(chunk)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/blob"
        finally:
            thread.join()


def test_a_large_result_that_comes_as_a_blob_is_taken(plane: ControlPlane) -> None:
    answer = cbor2.dumps(build_response(result={"data": b"x" * 3_000_000}))
    plane.container = forged(output(data_blob_id="bl-1"))
    with blob_store(iter([answer[:1000], answer[1000:]])) as plane.blob_url:
        assert run(SOURCE) == {"data": b"x" * 3_000_000}


def test_a_blob_is_read_no_further_than_the_limit(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "LIMITS", Limits(result_bytes=1000, result_values=10, output_chars=100))
    plane.container = forged(output(data_blob_id="bl-1"))
    with (
        blob_store(repeat(b"x" * 10_000)) as plane.blob_url,
        pytest.raises(DynamicBlockCodeError, match="ResultTooLarge"),
    ):
        run(SOURCE)


def test_what_a_failure_says_is_cut(plane: ControlPlane) -> None:
    plane.container = forged(output(FAILURE, exception="x" * 10**6 + "the reason"))
    with pytest.raises(DynamicBlockError) as caught:
        run(SOURCE)
    assert "the reason" in caught.value.public_message
    assert len(caught.value.public_message) < 2 * gate.MAX_TEXT_CHARS


def test_the_limits_of_a_call_end_with_it() -> None:
    with gate.call_limits(step_seconds=1, seconds=1, max_bytes=1) as record:
        assert record.status is None
    with pytest.raises(LookupError):
        gate._current.get()


def test_the_record_knows_how_the_call_went(plane: ControlPlane) -> None:
    plane.container = forged(output(data=b"\xa0"))
    with gated(plane) as (_, executor, record):
        assert executor.execute.remote({}) == b"\xa0"
    assert (record.status, record.started) == (SUCCESS, True)
