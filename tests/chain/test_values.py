"""Values of every kind go through the released engine into a sandbox and come back as what they were."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
import supervision as sv
from roboflow_workflows.execution_engine.entities.base import Batch, VideoMetadata

from tests.chain.server import Server
from tests.chain.workflows import IMAGE, PARAMETER, single

ECHO = single("def run(self, value):\n    return {'value': value}\n", {"value": PARAMETER})
PICTURE = np.random.default_rng(7).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def same(left: Any, right: Any) -> bool:
    """Equal, with the same types, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and np.array_equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, sv.Detections):
        names = ("xyxy", "mask", "confidence", "class_id", "tracker_id", "data", "metadata")
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    return bool(left == right)


VALUES = {
    "text": "ünï ✓",
    "a large integer": 2**70,
    "a float": -0.125,
    "nothing inside": [None, {}, []],
    "JSON": {"a": [1, 2.5, True, None, {"b": "c"}]},
    "bytes": bytes(range(256)),
    "a time with an offset": datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    "a time in UTC": datetime(2024, 2, 29, tzinfo=UTC),
    "a naive time": datetime(1999, 12, 31, 23, 59, 59),  # noqa: DTZ001, RUF100 - naive on purpose
    "an array of floats": np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "an array of text": np.array([["a", "ü"], ["", "long text"]]),
    "an empty array": np.empty((0, 4), dtype=np.int64),
    "detections": sv.Detections(
        xyxy=np.array([[1, 2, 30, 40], [5, 6, 7, 8]], dtype=np.float32),
        mask=np.random.default_rng(1).random((2, 48, 64)) > 0.5,
        confidence=np.array([0.9, 0.1], dtype=np.float32),
        class_id=np.array([3, 4]),
        tracker_id=np.array([7, 8]),
        data={"class_name": np.array(["cat", "dog"]), "custom": np.array([1.5, 2.5])},
        metadata={"source": "camera"},
    ),
    "no detections": sv.Detections.empty(),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_as_it_was(server: Server, name: str) -> None:
    returned = server.run(ECHO, value=VALUES[name]).result["value"]
    assert same(returned, VALUES[name]), returned


def test_the_sandbox_sees_the_value_itself(server: Server) -> None:
    code = """
    def run(self, value):
        boxes = value["boxes"]
        return {"value": [type(boxes).__name__, len(boxes), boxes.data["class_name"].tolist(), value["when"].hour]}
    """
    value = {"boxes": VALUES["detections"], "when": VALUES["a time in UTC"]}
    returned = server.run(single(code, {"value": PARAMETER}), value=value).result["value"]
    assert returned == ["Detections", 2, ["cat", "dog"], 0]


def test_an_image_is_there_to_the_bit_with_its_lineage_and_comes_back_so(server: Server) -> None:
    code = """
    def run(self, image):
        turned = np.ascontiguousarray(image.numpy_image[:, ::-1])
        return {"value": WorkflowImageData.copy_and_replace(image, numpy_image=turned), "same": image,
                "lines": int((cv2.Canny(image.numpy_image, 50, 150) > 0).sum()) > 0}
    """
    result = server.run(single(code, {"image": IMAGE}, ("value", "same", "lines")), image=[PICTURE]).result
    assert same(result["value"].numpy_image, PICTURE[:, ::-1].copy())
    assert same(result["same"].numpy_image, PICTURE)
    assert result["same"].parent_metadata.parent_id == result["value"].parent_metadata.parent_id
    assert result["lines"] is True


def test_the_metadata_of_a_videos_frame_comes_back(server: Server) -> None:
    metadata = VideoMetadata(
        video_identifier="camera-1",
        frame_number=42,
        frame_timestamp=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        fps=29.97,
        measured_fps=None,
        comes_from_video_file=False,
        total_frames=None,
    )
    assert server.run(ECHO, value=metadata).result["value"] == metadata


def test_a_batch_arrives_whole_and_its_answer_is_taken_apart(server: Server) -> None:
    code = """
    def run(self, image):
        means = [float(each.numpy_image.mean()) for each in image]
        return [{"value": [type(image).__name__, len(image), mean - means[0]]} for mean in means]
    """
    flow = single(code, {"image": IMAGE}, manifest={"accepts_batch_input": True})
    pictures = [np.full((4, 4, 3), level, dtype=np.uint8) for level in (10, 20, 40)]
    run = server.run(flow, image=pictures)
    assert run.failure is None
    assert run.results == [{"value": ["Batch", 3, step]} for step in (0.0, 10.0, 30.0)]


def test_a_batch_itself_can_be_a_result(server: Server) -> None:
    batch = Batch(content=[1, "two", None], indices=[(0,), (1,), (2,)])
    returned = server.run(ECHO, value=batch).result["value"]
    assert type(returned) is Batch
    assert (list(returned), returned.indices) == ([1, "two", None], [(0,), (1,), (2,)])


def test_what_cannot_be_data_is_refused_with_its_key_and_its_type(server: Server) -> None:
    code = """
    import threading
    def run(self):
        return {"value": {"lock": [threading.Lock()]}}
    """
    error = server.run(single(code)).error
    assert error.kind == "DynamicBlockCodeError"
    assert "['value']['lock'][0]" in error.message
    assert "_thread.lock" in error.message
