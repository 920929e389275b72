"""Measures the coins among outlines, and draws each with its size into the picture."""

import cv2
import numpy as np
from roboflow_workflows.execution_engine.entities.base import WorkflowImageData
from roboflow_workflows.prototypes.block import BlockResult

SIZES = {"small": (80, 175, 76), "medium": (36, 150, 255), "large": (70, 60, 230)}  # name: colour (BGR)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def run(self, image: WorkflowImageData, contours: list, medium_from: int, large_from: int) -> BlockResult:
    """Both limits are diameters in pixels."""
    picture = image.numpy_image
    height, width = picture.shape[:2]
    shaded, outlined = picture.copy(), picture.copy()
    coins: list[dict] = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        hull = cv2.convexHull(contour)
        roundness = cv2.contourArea(hull) / max(1.0, cv2.minEnclosingCircle(hull)[1] ** 2 * np.pi)
        at_the_edge = x <= 0 or y <= 0 or x + w >= width or y + h >= height
        if at_the_edge or roundness < 0.75 or min(w, h) < 40:
            continue
        diameter = round(2 * float(np.sqrt(cv2.contourArea(hull) / np.pi)))
        size = "large" if diameter >= large_from else "medium" if diameter >= medium_from else "small"
        coins.append({"centre": [x + w // 2, y + h // 2], "diameter": diameter, "size": size})
        cv2.drawContours(shaded, [hull], -1, SIZES[size], cv2.FILLED)
        cv2.drawContours(outlined, [hull], -1, SIZES[size], 3, cv2.LINE_AA)

    marked = cv2.addWeighted(shaded, 0.3, outlined, 0.7, 0)
    for coin in coins:
        text = str(coin["diameter"])
        (w, h), _ = cv2.getTextSize(text, FONT, 0.75, 2)
        x, y = coin["centre"]
        place = (x - w // 2, y + h // 2)
        cv2.putText(marked, text, place, FONT, 0.75, (20, 20, 20), 5, cv2.LINE_AA)
        cv2.putText(marked, text, place, FONT, 0.75, (255, 255, 255), 2, cv2.LINE_AA)

    counts = {size: sum(coin["size"] == size for coin in coins) for size in SIZES}
    bar = np.full((56, width, 3), 32, dtype=np.uint8)
    for index, (size, colour) in enumerate(SIZES.items()):
        left = 24 + index * 220
        cv2.circle(bar, (left + 10, 28), 11, colour, cv2.FILLED, cv2.LINE_AA)
        cv2.putText(bar, f"{counts[size]} {size}", (left + 32, 36), FONT, 0.75, (235, 235, 235), 2, cv2.LINE_AA)
    return {
        "coins": sorted(coins, key=lambda coin: coin["diameter"], reverse=True),
        "counts": counts,
        "marked": WorkflowImageData.copy_and_replace(image, numpy_image=np.vstack([marked, bar])),
    }
