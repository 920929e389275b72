"""Counts the detections in each zone, and says how many places are free there."""

import cv2
import numpy as np
import supervision as sv
from roboflow_workflows.prototypes.block import BlockResult


def run(self, predictions: sv.Detections, zones: dict) -> BlockResult:
    """A detection is in the first zone that its centre lies in.

    `zones` maps a zone's name to `polygon`, its corners in pixels, and `places`, how many fit into it.
    """
    centres = predictions.get_anchors_coordinates(sv.Position.CENTER)
    zone_of = np.full(len(predictions), "elsewhere", dtype=object)
    for name, zone in zones.items():
        outline = np.array(zone["polygon"], dtype=np.int32)
        inside = [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x, y in centres]
        zone_of[np.array(inside, dtype=bool) & (zone_of == "elsewhere")] = name

    report = {}
    for name, zone in zones.items():
        count = int((zone_of == name).sum())
        report[name] = {"count": count, "free": max(0, zone["places"] - count)}

    # Named after their zones, so that the blocks which draw them colour and label them so.
    names = [*zones, "elsewhere"]
    by_zone = predictions[:]
    by_zone.data["class_name"] = zone_of.astype(str)
    by_zone.class_id = np.array([names.index(name) for name in zone_of], dtype=int)
    return {
        "report": report,
        "by_zone": by_zone,
        "polygons": [zone["polygon"] for zone in zones.values()],
    }
