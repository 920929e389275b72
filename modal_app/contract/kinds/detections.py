"""Predictions of models: `sv.Detections`, every array of it.

Inference's detections serialiser isn't used: it gives centre points, one polygon per mask and a fixed set of columns.
"""

from typing import Any

import numpy as np
import supervision as sv
from supervision.detection.compact_mask import CompactMask

from modal_app.contract.codec import Decoder, Encoder, Fields, Kind

ARRAYS = ("xyxy", "mask", "confidence", "class_id", "tracker_id")
FIELDS = (*ARRAYS, "data", "metadata")


def _encode_detections(detections: sv.Detections, encoder: Encoder) -> Fields:
    """All columns; a `CompactMask` travels, and arrives, as the dense masks that it stands for."""
    columns = {name: getattr(detections, name) for name in FIELDS}
    if isinstance(columns["mask"], CompactMask):
        columns["mask"] = columns["mask"].to_dense()
    return {name: encoder.child(f".{name}", value) for name, value in columns.items()}


def _decode_detections(fields: Fields, decoder: Decoder) -> sv.Detections:
    columns: dict[str, Any] = {name: decoder.child(f".{name}", fields[name]) for name in FIELDS}
    decoder.expect(columns["xyxy"], np.ndarray)
    for name in ARRAYS[1:]:
        decoder.expect(columns[name], np.ndarray, None)
    for name in ("data", "metadata"):
        decoder.expect(columns[name], dict)
    try:
        return sv.Detections(**columns)
    except (ValueError, TypeError) as error:
        raise decoder.error(f"is detections whose columns don't fit each other: {str(error)[:200]}") from error


KINDS = (Kind("detections", (sv.Detections,), FIELDS, _encode_detections, _decode_detections),)
