"""The pictures are those that the script draws, and the detections in the inputs are those of its objects."""

import json

import numpy as np
import pytest
from PIL import Image

from examples.pictures import FOLDER, SCENES

LEVELS = 3.0
"""What saving as JPEG changes of a picture, on average."""


@pytest.mark.parametrize("name", SCENES)
def test_a_picture_and_its_detections_are_what_is_drawn(name: str) -> None:
    drawn, objects = SCENES[name]()
    with Image.open(FOLDER / name) as kept:
        assert kept.size == drawn.size
        difference = np.asarray(kept.convert("RGB"), dtype=float) - np.asarray(drawn, dtype=float)
    assert np.abs(difference).mean() < LEVELS
    inputs = json.loads(((FOLDER / name).parent / "inputs.json").read_text("utf-8"))
    pictures = inputs["image"] if isinstance(inputs["image"], list) else [inputs["image"]]
    found = inputs.get("predictions") or inputs["words"]
    mine = (found if isinstance(found, list) else [found])[pictures.index((FOLDER / name).name)]
    assert mine == {"image": {"width": drawn.width, "height": drawn.height}, "predictions": objects}
