"""The released engine runs a workflow of custom blocks on a photograph: OpenCV on the image, detections in and out.

The photograph is "coins" of scikit-image, which the engine's own packages bring: 24 Greek coins, from the Brooklyn
Museum, no known copyright restrictions.
"""

from importlib.resources import as_file, files
from typing import Any

import cv2
import numpy as np
import supervision as sv
from roboflow_workflows.execution_engine.core import ExecutionEngine

from modal_app.smoke import server
from modal_app.smoke.runner import CheckFailedError

COINS = 24
LARGE_PIXELS = 2400
"""Area of the bounding box from which a coin counts as large."""

FIND = """
def run(self, image):
    gray = cv2.GaussianBlur(cv2.cvtColor(image.numpy_image, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    mask = cv2.adaptiveThreshold(gray, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 71, -8)
    for operation in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
        mask = cv2.morphologyEx(mask, operation, np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(outline) for outline in outlines if cv2.contourArea(outline) > 500]
    coins = sv.Detections(
        xyxy=np.array([(x, y, x + width, y + height) for x, y, width, height in boxes], dtype=np.float32),
        confidence=np.ones(len(boxes), dtype=np.float32),
        class_id=np.zeros(len(boxes), dtype=int),
        data={"class_name": np.array(["coin"] * len(boxes))},
    )
    return {"coins": coins}
"""
KEEP_LARGE = """
def run(self, image, coins, pixels):
    large = coins[coins.box_area >= pixels]
    marked = image.numpy_image.copy()
    for left, top, right, bottom in large.xyxy.astype(int).tolist():
        cv2.rectangle(marked, (left, top), (right, bottom), (0, 0, 255), 2)
    return {"large": large, "marked": WorkflowImageData.copy_and_replace(image, numpy_image=marked)}
"""


def _block(name: str, code: str, inputs: dict[str, dict[str, Any]], outputs: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "DynamicBlockDefinition",
        "manifest": {
            "type": "ManifestDescription",
            "block_type": name,
            "inputs": {key: {"type": "DynamicInputDefinition", **value} for key, value in inputs.items()},
            "outputs": {key: {"type": "DynamicOutputDefinition", "kind": [kind]} for key, kind in outputs.items()},
        },
        "code": {"type": "PythonCode", "run_function_code": code},
    }


IMAGE = {"selector_types": ["input_image"]}
DETECTIONS = "object_detection_prediction"
WORKFLOW = {
    "version": "1.0",
    "inputs": [{"type": "WorkflowImage", "name": "image"}],
    "dynamic_blocks_definitions": [
        _block("FindCoins", FIND, {"image": IMAGE}, {"coins": DETECTIONS}),
        _block(
            "KeepLarge",
            KEEP_LARGE,
            {"image": IMAGE, "coins": {"selector_types": ["step_output"]}, "pixels": {"value_types": ["integer"]}},
            {"large": DETECTIONS, "marked": "image"},
        ),
    ],
    "steps": [
        {"type": "FindCoins", "name": "find", "image": "$inputs.image"},
        {"type": "KeepLarge", "name": "keep", "image": "$inputs.image", "coins": "$steps.find.coins"}
        | {"pixels": LARGE_PIXELS},
    ],
    "outputs": [
        {"type": "JsonField", "name": name, "selector": f"$steps.{selector}"}
        for name, selector in (("coins", "find.coins"), ("large", "keep.large"), ("marked", "keep.marked"))
    ],
}


class _OneWorkspace:
    """Resolves every API key to the smoke test's workspace: no platform is asked."""

    def resolve_workspace(self, api_key: str | None) -> str:
        _ = api_key
        return server.WORKSPACE


def on_a_picture() -> str:
    """Finds the coins in one block, keeps the large ones and draws them in another."""
    with as_file(files("skimage.data") / "coins.png") as path:
        picture = cv2.imread(str(path))
    engine = ExecutionEngine.init(
        workflow_definition=WORKFLOW, init_parameters={"workflows_core.workspace_resolver": _OneWorkspace()}
    )
    (result,) = engine.run(runtime_parameters={"image": [picture]})
    coins, large, marked = result["coins"], result["large"], result["marked"].numpy_image
    _expect(isinstance(coins, sv.Detections), f"the detections came back as {type(coins).__name__}")
    _expect(len(coins) == COINS, f"{len(coins)} coins were found, there are {COINS}")
    _expect(set(coins.data.get("class_name", ())) == {"coin"}, "the detections lost their class names")
    wanted = coins.xyxy[coins.box_area >= LARGE_PIXELS]
    _expect(0 < len(wanted) < COINS, "the photograph isn't the one that this check knows")
    _expect(np.array_equal(large.xyxy, wanted), "the second block didn't get the first one's detections")
    changed = (marked != picture).any(axis=2)
    _expect(marked.shape == picture.shape and marked.dtype == picture.dtype, "the picture came back as another one")
    _expect(all(_is_drawn(changed, box) for box in large.xyxy.astype(int)), "a box isn't drawn where its coin is")
    return f"{len(coins)} coins found on a photograph, {len(large)} large ones marked"


def _is_drawn(changed: np.ndarray[Any, Any], box: np.ndarray[Any, Any]) -> bool:
    left, top, right, _ = box
    return bool(changed[top, left:right].all())


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise CheckFailedError(otherwise)
