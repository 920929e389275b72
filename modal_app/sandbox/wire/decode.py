"""Turns the wire's inputs into the engine's values. An image comes from the bytes in its message, never from elsewhere.

A dict whose "_type" is none of the wire's is a user's own, and stays what it is.
"""

import base64
import binascii
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import cv2
import msgpack
import numpy as np
from roboflow_workflows.core_steps.common.deserializers import (
    deserialize_image_kind,
    deserialize_rle_detections_kind,
    deserialize_video_metadata_kind,
)
from roboflow_workflows.execution_engine.entities.base import Batch

from modal_app.contract.errors import ContractError

PARAMETER = "input"
"""What the released server's own sandbox names an image that says no name of its own."""
LINEAGE = ("parent_id", "parent_origin", "root_parent_id", "root_parent_origin")


def decode_inputs(inputs: str | bytes) -> dict[str, Any]:
    """The keyword arguments of a run function, from a JSON text (HTTP) or a msgpack map (WebSocket).

    Raises:
        ContractError: they aren't what the released client sends; says which one.
    """
    try:
        parsed = json.loads(inputs) if isinstance(inputs, str) else msgpack.unpackb(inputs, raw=False)
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise ContractError(f"the inputs can't be read: {error or type(error).__name__}") from error
    if type(parsed) is not dict or not all(type(name) is str for name in parsed):
        raise ContractError("the inputs are not a map from names to values")
    return {name: _input(name, value) for name, value in parsed.items()}


def _input(name: str, value: Any) -> Any:
    try:
        return _decode(value)
    except Exception as error:
        raise ContractError(f"the input {name!r} can't be read: {type(error).__name__}: {error}") from error


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get("_type")
    decode = _KINDS.get(tag) if isinstance(tag, str) else None
    if decode is None:
        return {key: _decode(item) for key, item in value.items()}
    return decode({key: item for key, item in value.items() if key != "_type"})


def _datetime(fields: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(fields["value"])


def _bytes(fields: dict[str, Any]) -> bytes:
    return base64.b64decode(fields["value"], validate=True)


def _array(fields: dict[str, Any]) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = np.array(fields["value"], dtype=fields["dtype"]).reshape(fields["shape"])
    return array


def _object(fields: dict[str, Any]) -> Any:
    """The client sends an object that it has no kind for as the text that `str` gives."""
    return fields["value"]


def _batch(fields: dict[str, Any]) -> Batch[Any]:
    content, indices = [_decode(item) for item in fields["value"]], fields.get("indices")
    if indices is None:
        return Batch(content=content, indices=None)
    return Batch(content=content, indices=[tuple(index) for index in indices])


def _detections(fields: dict[str, Any]) -> Any:
    return deserialize_rle_detections_kind(PARAMETER, {key: _decode(item) for key, item in fields.items()})


def _video(fields: dict[str, Any]) -> Any:
    return deserialize_video_metadata_kind(PARAMETER, {key: _decode(item) for key, item in fields.items()})


def _image(fields: dict[str, Any]) -> Any:
    """By the engine's own deserialiser for all but the pixels: given text, it would load a path or a URL."""
    described = {key: fields[key] for key in LINEAGE if fields.get(key) is not None}
    if fields.get("video_metadata"):
        metadata = {key: item for key, item in fields["video_metadata"].items() if key != "_type"}
        described["video_metadata"] = _video(metadata)
    return deserialize_image_kind(PARAMETER, {**described, "value": _pixels(fields)})


def _pixels(fields: dict[str, Any]) -> np.ndarray[Any, Any]:
    data = fields["_jpeg_bytes"] if "_jpeg_bytes" in fields else _encoded(fields["value"])
    pixels: np.ndarray[Any, Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("its bytes are no image")
    return pixels


def _encoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError("an image is base64 text") from error


_KINDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "datetime": _datetime,
    "bytes": _bytes,
    "ndarray": _array,
    "object": _object,
    "batch": _batch,
    "sv_detections": _detections,
    "video_metadata": _video,
    "workflow_image": _image,
}
