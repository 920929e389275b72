"""A request is plain: Modal's own pickling carries the inputs, and no image in it is still to be loaded."""

from pathlib import Path

import cv2
import numpy as np
import torch
from modal._serialization import deserialize, serialize
from roboflow_workflows.execution_engine.entities.base import Batch, ImageParentMetadata, WorkflowImageData
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.contract.request import build_request, check_request, load_images, whole_code
from modal_app.settings import CONTRACT_VERSION, Limits
from tests.unit.modal_app.contract.test_kinds import detections, image, same, video

CODE = PythonCode(type="PythonCode", run_function_code="def run(self): pass", init_function_code="def init(): pass")
CAMERA = ImageParentMetadata(parent_id="camera")


def test_inputs_travel_by_modals_pickling_as_they_are() -> None:
    inputs = {
        "image": image(video_metadata=video()),
        "detections": detections(),
        "batch": Batch.init(content=[image(), None], indices=[(0,), (1,)]),
        "nested": {"a": [(1, {2, 3}), b"bytes", np.arange(3), video()]},
        "nothing": None,
    }
    request = build_request(CODE, "Block", Limits(), inputs, {"step_name": "s"})
    sent = deserialize(serialize(request), None)
    assert same(sent["inputs"], inputs)
    assert sent["contract"] == CONTRACT_VERSION
    assert PythonCode.model_validate(sent["code"]) == CODE
    assert check_request(sent) == Limits()


def test_inputs_that_need_no_loading_are_not_copied() -> None:
    array, boxes = np.zeros(3), detections()
    request = build_request(CODE, "Block", Limits(), {"array": array, "boxes": boxes})
    assert request["inputs"]["array"] is array
    assert request["inputs"]["boxes"] is boxes


def test_a_file_is_read_on_this_side(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    pixels = np.full((4, 5, 3), 7, dtype=np.uint8)
    cv2.imwrite(str(path), pixels)
    lazy = WorkflowImageData(parent_metadata=CAMERA, image_reference=str(path))
    loaded = load_images({"deep": [Batch(content=[(lazy,)], indices=None)]})["deep"][0][0][0]
    path.unlink()
    np.testing.assert_array_equal(loaded.numpy_image, pixels)
    assert loaded.parent_metadata.parent_id == "camera"


def test_a_tensor_stays_here_and_its_pixels_go() -> None:
    tensor = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(3, 4, 5)
    loaded = load_images(WorkflowImageData(parent_metadata=CAMERA, tensor_image=tensor))
    assert loaded._tensor_image is None
    np.testing.assert_array_equal(loaded.numpy_image, tensor.permute(1, 2, 0).numpy()[:, :, ::-1])


def test_the_whole_code_is_joined_as_the_engine_joins_it() -> None:
    assert whole_code(CODE) == "def run(self): pass\n\ndef init(): pass"
    assert whole_code(CODE.model_copy(update={"init_function_code": None})) == "def run(self): pass"
