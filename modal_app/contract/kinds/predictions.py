"""Predictions of models: supervision's detections, keypoints and classifications, every array of them; actions.

Inference's detections serialiser isn't used: it gives centre points, one polygon per mask and a fixed set of columns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import supervision as sv
from pydantic import ValidationError
from roboflow_workflows.core_steps.models.roboflow.action_recognition.entities import ActionRecognitionPrediction
from supervision.detection.compact_mask import CompactMask

from modal_app.contract.codec import Decoder, Encoder, Fields, Kind

DETECTIONS = ("xyxy", "mask", "confidence", "class_id", "tracker_id")
KEY_POINTS = ("xy", "class_id", "keypoint_confidence", "detection_confidence", "visible")
CLASSIFICATIONS = ("class_id", "confidence")
ACTION = ("start_frame_idx", "end_frame_idx", "class_name", "confidence", "class_id")


def _encode_columns(prediction: Any, names: tuple[str, ...], encoder: Encoder) -> Fields:
    """All columns; a `CompactMask` travels, and arrives, as the dense masks that it stands for."""
    columns = {name: getattr(prediction, name) for name in names}
    if isinstance(columns.get("mask"), CompactMask):
        columns["mask"] = columns["mask"].to_dense()
    return {name: encoder.child(f".{name}", value) for name, value in columns.items()}


def _decode_columns(build: Callable[..., Any], fields: Fields, arrays: tuple[str, ...], decoder: Decoder) -> Any:
    """`build` of the decoded fields: `arrays`, of which the first is never None, and dicts."""
    columns: dict[str, Any] = {name: decoder.child(f".{name}", data) for name, data in fields.items()}
    for name, column in columns.items():
        if name == arrays[0]:
            decoder.expect(column, np.ndarray)
        elif name in arrays:
            decoder.expect(column, np.ndarray, None)
        else:
            decoder.expect(column, dict)
    try:
        return build(**columns)
    except (ValueError, TypeError) as error:
        raise decoder.error(f"is a prediction whose columns don't fit each other: {str(error)[:200]}") from error


def _columns(name: str, build: type, arrays: tuple[str, ...], *dicts: str) -> Kind:
    fields = (*arrays, *dicts)
    return Kind(
        name,
        (build,),
        fields,
        lambda value, encoder: _encode_columns(value, fields, encoder),
        lambda data, decoder: _decode_columns(build, data, arrays, decoder),
    )


def _encode_action(action: ActionRecognitionPrediction, encoder: Encoder) -> Fields:
    return {name: encoder.child(f".{name}", getattr(action, name)) for name in ACTION}


def _decode_action(fields: Fields, decoder: Decoder) -> ActionRecognitionPrediction:
    values = {name: decoder.child(f".{name}", data) for name, data in fields.items()}
    try:
        return ActionRecognitionPrediction.model_validate(values, strict=True)
    except ValidationError as error:
        raise decoder.error(f"is no recognised action: {str(error)[:200]}") from error


KINDS = (
    _columns("detections", sv.Detections, DETECTIONS, "data", "metadata"),
    _columns("key_points", sv.KeyPoints, KEY_POINTS, "data"),
    _columns("classifications", sv.Classifications, CLASSIFICATIONS),
    Kind("action", (ActionRecognitionPrediction,), ACTION, _encode_action, _decode_action),
)
