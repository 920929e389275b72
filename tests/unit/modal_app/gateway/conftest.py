"""Loads what the client loads at its first image, and lets uvicorn use a deprecated part of the library websockets."""

import base64
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from roboflow_workflows.core_steps.common.deserializers import deserialize_image_kind

HERE = Path(__file__).parent
IGNORED = "ignore:remove second argument of ws_handler:DeprecationWarning"

with warnings.catch_warnings():  # the engine's own, about its own models
    warnings.simplefilter("ignore")
    _, jpeg = cv2.imencode(".jpg", np.zeros((2, 2, 3), np.uint8))
    deserialize_image_kind("input", {"type": "base64", "value": base64.b64encode(jpeg.tobytes()).decode()})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets it, in the tests of this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings(IGNORED))
