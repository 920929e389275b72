"""Keeps the detections that can be acted on: certain, tracked, each object once, not handled."""

import numpy as np
import supervision as sv
from roboflow_workflows.prototypes.block import BlockResult


def run(self, predictions: sv.Detections, min_confidence: float, handled: list) -> BlockResult:
    """`handled` holds the tracker ids of objects that are done with. Of several boxes with one id, the surest stays."""
    kept, dropped = {}, []
    tracks = predictions.tracker_id if predictions.tracker_id is not None else [-1] * len(predictions)
    surest_first = np.argsort(-predictions.confidence, kind="stable")
    for index in surest_first.tolist():
        track, confidence = int(tracks[index]), float(predictions.confidence[index])
        if track < 0:
            reason = "not tracked"
        elif confidence < min_confidence:
            reason = "uncertain"
        elif track in handled:
            reason = "handled"
        elif track in kept:
            reason = "second box"
        else:
            kept[track] = index
            continue
        dropped.append({"track": track, "confidence": round(confidence, 2), "reason": reason})
    order = [kept[track] for track in sorted(kept)]
    return {"predictions": predictions[order], "tracks": sorted(kept), "dropped": dropped}
