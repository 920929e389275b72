"""Follows parcels from picture to picture, and draws their paths: state that a session keeps."""

import cv2
import numpy as np
import supervision as sv
from roboflow_workflows.execution_engine.entities.base import WorkflowImageData
from roboflow_workflows.prototypes.block import BlockResult


def run(self, image: WorkflowImageData, predictions: sv.Detections, reach: float) -> BlockResult:
    """A box is the parcel that was nearest in the picture before, if it was within `reach` pixels; else a new one.

    `globals` lasts as long as the connection, which is one video.
    """
    state = globals.setdefault("tracker", {"frames": 0, "paths": {}, "seen": {}})  # type: ignore[attr-defined]  # a dict here
    state["frames"] += 1
    centres = (predictions.xyxy[:, :2] + predictions.xyxy[:, 2:]) / 2
    before = {track: path[-1] for track, path in state["paths"].items() if state["seen"][track] == state["frames"] - 1}
    near = sorted(
        (float(np.hypot(*(centre - np.array(place)))), index, track)
        for index, centre in enumerate(centres)
        for track, place in before.items()
    )
    tracks: dict[int, int] = {}
    for distance, index, track in near:
        if distance <= reach and index not in tracks and track not in tracks.values():
            tracks[index] = track
    for index, centre in enumerate(centres):
        track = tracks.setdefault(index, len(state["paths"]) + 1)
        state["paths"].setdefault(track, []).append(centre.round().astype(int).tolist())
        state["seen"][track] = state["frames"]
    tracked = sv.Detections(
        xyxy=predictions.xyxy,
        confidence=predictions.confidence,
        class_id=predictions.class_id,
        data=predictions.data,
        tracker_id=np.array([tracks[index] for index in range(len(predictions))], dtype=int),
    )
    return {
        "image": WorkflowImageData.copy_and_replace(
            image, numpy_image=drawn(image.numpy_image, tracked, state["paths"])
        ),
        "predictions": tracked,
        "report": {"frame": state["frames"], "tracks": sorted(tracks.values()), "parcels": len(state["paths"])},
    }


def drawn(pixels: np.ndarray, tracked: sv.Detections, paths: dict[int, list[list[int]]]) -> np.ndarray:
    """Every box with its number, and every path that there has been."""
    picture = pixels.copy()
    colour = sv.ColorPalette.DEFAULT
    for track, path in paths.items():
        cv2.polylines(picture, [np.array(path, dtype=np.int32)], False, colour.by_idx(track).as_bgr(), 3, cv2.LINE_AA)
        for place in path:
            cv2.circle(picture, place, 5, colour.by_idx(track).as_bgr(), -1, cv2.LINE_AA)
    for box, track in zip(tracked.xyxy.astype(int), tracked.tracker_id, strict=True):
        left, top, right, bottom = box.tolist()
        cv2.rectangle(picture, (left, top), (right, bottom), colour.by_idx(int(track)).as_bgr(), 3)
        cv2.putText(
            picture, f"{track}", (left + 8, top + 30), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (20, 20, 20), 2, cv2.LINE_AA
        )
    return picture
