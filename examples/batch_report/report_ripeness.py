"""Reports how ripe the fruit in each picture is, from the crops of all pictures at once."""

import cv2
import numpy as np
from roboflow_workflows.execution_engine.entities.base import Batch, WorkflowImageData
from roboflow_workflows.prototypes.block import BlockResult

TILE, COLUMNS = 120, 6  # pixels, tiles


def redness(picture: np.ndarray) -> float:
    """0 for green to 1 for red: the median hue of what is coloured in the middle of a crop."""
    height, width = picture.shape[:2]
    middle = picture[height // 6 : -height // 6, width // 6 : -width // 6]
    hue, saturation, value = cv2.split(cv2.cvtColor(middle, cv2.COLOR_BGR2HSV))
    fruit = hue[(saturation > 110) & (value > 60)].astype(int)
    if fruit.size == 0:
        return 0.0
    from_red = np.minimum(fruit, 180 - fruit)  # OpenCV's hue: 0 and 180 are red, 60 is green
    return round(float(np.clip(1 - np.median(from_red) / 40, 0, 1)), 2)


def contact_sheet(rated: list, ripe_from: float) -> np.ndarray:
    """The crops side by side, the ripest last, each with its redness below."""
    tiles = []
    for value, crop in rated:
        tile = cv2.resize(crop.numpy_image, (TILE, TILE), interpolation=cv2.INTER_AREA)
        strip = np.full((30, TILE, 3), (60, 60, 220) if value >= ripe_from else (90, 90, 90), dtype=np.uint8)
        cv2.putText(strip, f"{value:.2f}", (34, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.65, (255, 255, 255), 2, cv2.LINE_AA)
        tiles.append(cv2.copyMakeBorder(np.vstack([tile, strip]), 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=(28, 28, 28)))
    tiles += [np.full_like(tiles[0], 28)] * (-len(tiles) % COLUMNS)
    return np.vstack([np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)])


def report_on(crops: Batch, ripe_from: float) -> dict:
    rated = sorted(((redness(crop.numpy_image), crop) for crop in crops), key=lambda pair: pair[0])
    if not rated:
        return {"report": {"fruits": 0}, "sheet": None}
    values = [value for value, _ in rated]
    ripe = sum(value >= ripe_from for value in values)
    report = {
        "fruits": len(values),
        "ripe": ripe,
        "share_ripe": round(ripe / len(values), 2),
        "mean_redness": round(float(np.mean(values)), 2),
        "ready": ripe / len(values) >= 0.75,
    }
    sheet = contact_sheet(rated, ripe_from)
    return {"report": report, "sheet": WorkflowImageData.copy_and_replace(rated[0][1], numpy_image=sheet)}


def run(self, crops: Batch[Batch[WorkflowImageData]], ripe_from: float) -> BlockResult:
    """`crops` holds a batch for each picture; `ripe_from` is the redness from which a fruit counts as ripe."""
    return [report_on(of_picture, ripe_from) for of_picture in crops]
