"""A workflow with custom blocks, run by the released engine; as a program: in modal mode, with the plug-in.

`python engine_process.py FILE` writes what the engine gives to FILE, pickled.
"""

import pickle
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import inference.core  # noqa: F401 - first: it installs the configuration that the engine reads
import numpy as np

FIND = """
def run(self, image, least):
    print("looking at", image.parent_metadata.parent_id)
    gray = cv2.cvtColor(image.numpy_image, cv2.COLOR_BGR2GRAY)
    contours, _ = cv2.findContours((gray > 100).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = sorted(cv2.boundingRect(c) for c in contours if cv2.contourArea(c) >= least)
    xyxy = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], dtype=float).reshape(-1, 4)
    found = sv.Detections(
        xyxy=xyxy,
        confidence=np.full(len(boxes), self._init_results["confidence"]),
        class_id=np.zeros(len(boxes), dtype=int),
        data={
            "class_name": np.array(["bright"] * len(boxes)),
            "detection_id": np.array([f"{x}-{y}" for x, y, *_ in boxes]),
        },
    )
    return {"found": found, "gray": WorkflowImageData.copy_and_replace(image, numpy_image=gray)}
"""
INIT = "def init():\n    return {'confidence': 0.75}"
COUNT = """
def run(self, found, gray):
    areas = [float(area) for area in found.area]
    return {"summary": {"count": len(found), "areas": areas, "shape": gray.numpy_image.shape}}
"""


def _block(name: str, inputs: dict[str, str], outputs: list[str], code: str, **more: str) -> dict[str, Any]:
    return {
        "type": "DynamicBlockDefinition",
        "manifest": {
            "type": "ManifestDescription",
            "block_type": name,
            "inputs": {
                key: {"type": "DynamicInputDefinition", "selector_types": [selector]}
                for key, selector in inputs.items()
            },
            "outputs": {key: {"type": "DynamicOutputDefinition", "kind": []} for key in outputs},
        },
        "code": {"type": "PythonCode", "run_function_code": code, **more},
    }


WORKFLOW = {
    "version": "1.0",
    "inputs": [{"type": "WorkflowImage", "name": "image"}, {"type": "WorkflowParameter", "name": "least"}],
    "dynamic_blocks_definitions": [
        _block(
            "Find",
            {"image": "input_image", "least": "input_parameter"},
            ["found", "gray"],
            FIND,
            init_function_code=INIT,
        ),
        _block("Count", {"found": "step_output", "gray": "step_output"}, ["summary"], COUNT),
    ],
    "steps": [
        {"type": "Find", "name": "find", "image": "$inputs.image", "least": "$inputs.least"},
        {"type": "Count", "name": "count", "found": "$steps.find.found", "gray": "$steps.find.gray"},
    ],
    "outputs": [
        {"type": "JsonField", "name": "found", "selector": "$steps.find.found"},
        {"type": "JsonField", "name": "gray", "selector": "$steps.find.gray"},
        {"type": "JsonField", "name": "summary", "selector": "$steps.count.summary"},
    ],
}


class OneWorkspace:
    """Resolves every API key to the same workspace."""

    def resolve_workspace(self, api_key: str | None) -> str:  # noqa: ARG002 - the engine's interface
        return "acme"


def pictures() -> list[Any]:
    """Two frames of a video with bright rectangles. (Without a time of its own an image gets that of the moment.)"""
    images = []
    for rectangles in ([(5, 5, 20, 12), (40, 30, 10, 10)], [(1, 1, 3, 3)]):
        picture = np.zeros((64, 96, 3), dtype=np.uint8)
        for x, y, width, height in rectangles:
            picture[y : y + height, x : x + width] = (90, 200, 250)
        video = {"video_identifier": "v", "frame_number": 1, "frame_timestamp": datetime(2024, 1, 2)}
        images.append({"type": "numpy_object", "value": picture, "video_metadata": video})
    return images


def run_workflow(serialize: bool = False) -> Any:
    """What the engine answers for the pictures; as JSON would carry it if `serialize`."""
    from roboflow_workflows.execution_engine.core import ExecutionEngine  # noqa: PLC0415 - loads every block there is

    engine = ExecutionEngine.init(
        workflow_definition=WORKFLOW,
        init_parameters={
            "workflows_core.api_key": None,
            "workflows_core.workspace_resolver": OneWorkspace(),
            "workflows_core.model_manager": None,
            "workflows_core.step_execution_mode": None,
        },
    )
    return engine.run({"image": pictures(), "least": 4}, serialize_results=serialize)


def main() -> None:
    """In a process whose environment says modal mode and names the plug-in."""
    results = [run_workflow(), run_workflow(serialize=True)]
    import inference.core.workflows.execution_engine.v1.dynamic_blocks.modal_executor as old_name  # noqa: PLC0415
    import roboflow_workflows.execution_engine.v1.dynamic_blocks.modal_executor as new_name  # noqa: PLC0415

    from modal_app.server import executor, validation  # noqa: PLC0415

    replaced = (
        old_name is new_name,
        new_name.get_modal_executor is executor.get_modal_executor,
        new_name.validate_code_in_modal is validation.validate_code_in_modal,
    )
    Path(sys.argv[1]).write_bytes(pickle.dumps((replaced, results)))


if __name__ == "__main__":
    main()
