"""The released client, as it is, through both doors: values there and back, failures, hashes, heartbeats."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import supervision as sv
from roboflow_workflows.errors import DynamicBlockCodeError, DynamicBlockError
from roboflow_workflows.execution_engine.entities.base import (
    Batch,
    ImageParentMetadata,
    VideoMetadata,
    WorkflowImageData,
)
from roboflow_workflows.execution_engine.v1.dynamic_blocks import modal_executor
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode
from roboflow_workflows.execution_engine.v1.dynamic_blocks.modal_executor import (
    ModalExecutor,
    PooledWebSocketModalExecutor,
)

from modal_app.settings import WebSettings
from tests.unit.modal_app.gateway.doors import Doors, doors

TRANSPORTS = ("http", "websocket")


@pytest.fixture(scope="module")
def open_doors() -> Iterator[Doors]:
    with doors(WebSettings(idle_seconds=2)) as opened:
        yield opened


class Client:
    """One executor of the released client."""

    def __init__(self, transport: str) -> None:
        self.executor: Any = (ModalExecutor if transport == "http" else PooledWebSocketModalExecutor)("acme")

    def run(self, source: str, **inputs: Any) -> Any:
        code = PythonCode(type="PythonCode", run_function_code=source)
        return self.executor.execute_remote("my_block", code, inputs, "acme", {"step_name": "step"})


@pytest.fixture(params=TRANSPORTS)
def client(request: pytest.FixtureRequest, open_doors: Doors, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("MODAL_WEB_ENDPOINT_URL", open_doors.http)
    monkeypatch.setenv("MODAL_WS_ENDPOINT_URL", open_doors.websocket)
    for name, value in (("MODAL_AVAILABLE", True), ("MODAL_TOKEN_ID", "wk-1"), ("MODAL_TOKEN_SECRET", "ws-1")):
        monkeypatch.setattr(modal_executor, name, value)
    client = Client(request.param)
    yield client
    getattr(client.executor, "close", lambda: None)()


def picture(**metadata: Any) -> WorkflowImageData:
    pixels = np.full((40, 60, 3), 128, np.uint8)
    return WorkflowImageData(ImageParentMetadata(parent_id="camera"), numpy_image=pixels, **metadata)


IDENTITY = "def run(self, x):\n    return {'x': x}"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -(2**63),
        2.5,
        "text ✓",
        b"\x00\xff",
        [1, [2]],
        {"a": {"b": 1}},
        {"_type": "mine", "x": 1},
        datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    ],
    ids=repr,
)
def test_a_plain_value_comes_back_as_it_was(client: Client, value: Any) -> None:
    assert client.run(IDENTITY, x=value) == {"x": value}


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bool", "int64", "<U5"])
def test_an_array_comes_back_with_its_type_and_shape(client: Client, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    back = client.run(IDENTITY, x=array)["x"]
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_an_image_comes_back_with_its_parent_and_video(client: Client) -> None:
    video = VideoMetadata(
        video_identifier="v", frame_number=7, frame_timestamp=datetime(2026, 1, 2, tzinfo=UTC), fps=30
    )
    back = client.run(IDENTITY, x=picture(video_metadata=video))["x"]
    assert back.numpy_image.shape == (40, 60, 3)
    assert abs(int(back.numpy_image.mean()) - 128) <= 1
    assert back.video_metadata == video


def test_a_crop_keeps_its_lineage(client: Client) -> None:
    crop = WorkflowImageData.create_crop(picture(), "crop", np.zeros((10, 10, 3), np.uint8), 5, 6)
    back = client.run(IDENTITY, x=crop)["x"]
    assert back.parent_metadata.parent_id == "crop"
    assert back.parent_metadata.origin_coordinates.left_top_x == 5
    assert back.workflow_root_ancestor_metadata.parent_id == "camera"


def test_detections_come_back(client: Client) -> None:
    found = sv.Detections(
        xyxy=np.array([[1.0, 2.0, 11.0, 22.0]]),
        confidence=np.array([0.5]),
        class_id=np.array([3]),
        tracker_id=np.array([9]),
        data={
            "class_name": np.array(["cat"]),
            "detection_id": np.array(["d1"]),
            "parent_id": np.array(["camera"]),
            "image_dimensions": np.array([[40, 60]]),
        },
    )
    source = "def run(self, x):\n    assert isinstance(x, sv.Detections)\n    return {'x': x}"
    back = client.run(source, x=found)["x"]
    assert np.allclose(back.xyxy, found.xyxy)
    assert list(back.tracker_id) == [9]
    assert list(back.data["class_name"]) == ["cat"]


def test_a_batch_arrives_as_one_and_leaves_as_a_list(client: Client) -> None:
    source = "def run(self, x):\n    assert isinstance(x, Batch), x\n    return {'x': x, 'at': x.indices}"
    assert client.run(source, x=Batch(content=[1, 2], indices=[(0,), (1,)])) == {"x": [1, 2], "at": [[0], [1]]}


def test_numpy_scalars_become_pythons(client: Client) -> None:
    source = "def run(self):\n    return {'x': np.int64(3), 'y': np.float32(0.5), 'z': np.bool_(True)}"
    assert client.run(source) == {"x": 3, "y": 0.5, "z": True}


def test_a_list_of_results_comes_back(client: Client) -> None:
    assert client.run("def run(self):\n    return [{'x': 1}, {'x': 2}]") == [{"x": 1}, {"x": 2}]


def test_a_function_without_self_and_the_wires_names(client: Client) -> None:
    source = "def run(x):\n    debug_traces.append(1)\n    return {'x': __name__, 'y': datetime(2026, 1, 1).year}"
    assert client.run(source, x=1) == {"x": "__main__", "y": 2026}


def test_self_knows_where_it_stands(client: Client) -> None:
    source = "def run(self):\n    return {'x': self.get_workflow_context()['step_name']}"
    assert client.run(source) == {"x": "step"}


def test_what_a_block_prints_is_printed_here(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.run(
        "import sys\ndef run(self):\n    print('out', '\\x1b[2J')\n    print('err', file=sys.stderr)\n    return {}"
    )
    printed = capsys.readouterr()
    assert "out \\x1b[2J\n" in printed.out
    assert "err\n" in printed.err


def test_an_exception_names_the_blocks_own_line(client: Client) -> None:
    source = "def run(self):\n    print('before')\n    return {'x': np.zeros(2).reshape(3)}"
    with pytest.raises(DynamicBlockCodeError, match="Error in line 3, in run: ValueError: cannot reshape") as caught:
        client.run(source)
    assert caught.value.error_line == 3
    assert caught.value.block_traceback.stdout == "before\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0\ndef run(self):\n    return {}", "ZeroDivisionError: Code initialization failed: division by zero"),
        ("def run(self:\n    return {}", "Code initialization failed: "),
        ("def other(self):\n    return {}", "NameError: function 'run' is not defined"),
        ("def run(self):\n    return {'x': {'type': 'base64', 'value': '/etc/hostname'}}", "looks like an image"),
    ],
    ids=["top level", "syntax", "missing", "a path as an image"],
)
def test_a_block_that_cannot_run_says_why(client: Client, source: str, message: str) -> None:
    with pytest.raises(DynamicBlockCodeError, match=message):
        client.run(source)


def test_code_is_sent_once(client: Client, open_doors: Doors) -> None:
    source = IDENTITY + "  # " + hashlib.sha256(repr(client).encode()).hexdigest()
    assert client.run(source, x=1) == {"x": 1}
    before = len(open_doors.runner.workspaces)
    assert client.run(source, x=2) == {"x": 2}
    open_doors.service.codes._shelves.clear()
    assert client.run(source, x=3) == {"x": 3}
    assert len(open_doors.runner.workspaces) == before + 2


def test_a_large_value_goes_both_ways(client: Client) -> None:
    data = bytes(range(256)) * 20_000
    assert client.run(IDENTITY, x=data) == {"x": data}


@pytest.mark.usefixtures("client")
def test_validation() -> None:
    good = PythonCode(type="PythonCode", run_function_code=IDENTITY)
    assert modal_executor.validate_code_in_modal(good, "acme")
    bad = PythonCode(type="PythonCode", run_function_code="def run(:\n    pass")
    with pytest.raises(DynamicBlockError, match="Line 1: invalid syntax"):
        modal_executor.validate_code_in_modal(bad, "acme")


@pytest.mark.parametrize("client", ["websocket"], indirect=True)
def test_heartbeats_keep_a_connection_open(client: Client) -> None:
    client.run(IDENTITY, x=1)
    (executor,) = client.executor._executors
    socket = executor._ws
    for _ in range(4):
        with executor._io_lock:
            executor._send_heartbeat(socket)
    client.run(IDENTITY, x=1)
    assert executor._ws is socket
