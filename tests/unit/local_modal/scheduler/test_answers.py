"""A large answer on its way to its caller: held as a blob where somebody will fetch it, and nowhere else."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from modal_proto import api_pb2

from local_modal.scheduler.answers import BLOB_BYTES, Answers
from local_modal.store.blobs import Blobs

LARGE = bytes(BLOB_BYTES + 1)


def answered(tmp_path: Path, data: bytes, *, room: int = 8 << 20, done: bool = False, **call: bool) -> Any:
    """What is finished with, and what is held after it: the result, and the blobs."""
    finished: list[api_pb2.GenericResult] = []
    blobs = Blobs(tmp_path / "blobs", room, 60, room)
    answers = Answers(lambda _entry, result, *_: finished.append(result), blobs, 8 << 20)
    called = SimpleNamespace(**({"spawned": False, "by_container": False, "yielded": None} | call))
    entry = SimpleNamespace(done=done, call=called, payload=SimpleNamespace(method_name=""))
    definition = SimpleNamespace(output_formats=lambda _method: [api_pb2.DATA_FORMAT_CBOR])
    task = SimpleNamespace(running={"in-1": entry}, definition=definition, payload=None)
    result = api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS, data=data)
    item = api_pb2.FunctionPutOutputsItem(input_id="in-1", result=result, data_format=api_pb2.DATA_FORMAT_CBOR)
    answers.put_outputs(cast(Any, task), [item])
    return finished[0], blobs


def test_a_large_answer_is_held_for_its_caller(tmp_path: Path) -> None:
    result, blobs = answered(tmp_path, LARGE)
    assert result.WhichOneof("data_oneof") == "data_blob_id"
    assert blobs.result(result.data_blob_id) == LARGE


def test_another_answer_stays_in_its_message(tmp_path: Path) -> None:
    result, _ = answered(tmp_path, LARGE[1:])
    assert result.data == LARGE[1:]


@pytest.mark.parametrize("why", [{"spawned": True}, {"by_container": True}, {"done": True}, {"room": 100}])
def test_a_large_answer_that_nobody_will_fetch_is_not_held(tmp_path: Path, why: dict[str, Any]) -> None:
    result, blobs = answered(tmp_path, LARGE, **why)
    assert result.data == LARGE
    assert not blobs._results
