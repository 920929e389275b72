"""Turns what a block returned into the wire's forms, by the engine's own serialisers where they exist.

What the client has no form for becomes what it makes of it: a tuple a list, another object its text. A dict that the
client would take for an image is refused unless it holds one: it would load a path or a URL.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgpack
import numpy as np
import supervision as sv
from roboflow_workflows.core_steps.common.serializers import (
    serialise_sv_detections_for_transport,
    serialize_action_recognition_prediction_kind,
    serialize_video_metadata_kind,
)
from roboflow_workflows.execution_engine.entities.base import (
    ActionRecognitionPrediction,
    Batch,
    VideoMetadata,
    WorkflowImageData,
)
from roboflow_workflows.execution_engine.v1.dynamic_blocks.modal_executor import _serialise_image_for_webexec

from modal_app.contract.errors import ContractError
from modal_app.contract.wire import MAX_INT, MIN_INT, ItemProblem, check_item
from modal_app.settings import Limits

ARRAY_KINDS = "biufU"
MAX_ITEM_BYTES = 8
CHARS_PER_ITEM = 2


def encode_result(result: Any, limits: Limits, *, packed: bool) -> str | bytes:
    """`result` as a JSON text (HTTP) or as msgpack (WebSocket, `packed`).

    Raises:
        ContractError: something in it can't be encoded, or it exceeds a limit.
    """
    encoded = _Encoder(limits, packed=packed).encode(result)
    data = msgpack.packb(encoded, use_bin_type=True, unicode_errors="replace") if packed else json.dumps(encoded)
    if len(data) > limits.result_bytes:
        raise ContractError(
            f"the result has {len(data):,} bytes; over this transport it may have {limits.result_bytes:,}"
        )
    return data


class _Encoder:
    """Walks one result; `where` it is goes into messages."""

    def __init__(self, limits: Limits, *, packed: bool) -> None:
        self.limits = limits
        self.packed = packed
        self.path: list[str] = []

    def encode(self, value: Any) -> Any:
        """`value` as plain data that both JSON and msgpack take."""
        if value is None or isinstance(value, bool):
            return value
        for types, encode in _KINDS:
            if isinstance(value, types):
                return encode(self, value)
        return self.text(value)

    def child(self, step: str, value: Any) -> Any:
        if len(self.path) >= self.limits.result_depth:
            raise self.error(f"is nested deeper than {self.limits.result_depth} levels, or contains itself")
        self.path.append(step)
        encoded = self.encode(value)
        self.path.pop()
        return encoded

    def string(self, value: str) -> str:
        return str.__str__(value)

    def decimal(self, value: float) -> float:
        return float.__float__(value)

    def binary(self, value: bytes | bytearray) -> Any:
        return bytes(value) if self.packed else _tag("bytes", value=base64.b64encode(value).decode("ascii"))

    def sequence(self, values: Iterable[Any]) -> list[Any]:
        return [self.child(f"[{index}]", item) for index, item in enumerate(values)]

    def mapping(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        encoded = {_key(key): self.child(f"[{key!r}]", item) for key, item in value.items()}
        try:
            check_item(encoded)
        except ItemProblem as error:
            raise self.error(f"{error}; return a WorkflowImageData instead") from error
        return encoded

    def fields(self, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """What one of the engine's serialisers gave, tagged; NumPy scalars are among it."""
        return _tag(kind, **{key: self.child(f".{key}", item) for key, item in values.items()})

    def image(self, image: WorkflowImageData) -> dict[str, Any]:
        try:
            values = _serialise_image_for_webexec(image)
        except Exception as error:  # it may have to load the image from anywhere
            raise self.error(f"is an image that can't be encoded: {type(error).__name__}: {error}") from error
        if values["video_metadata"] is None:
            del values["video_metadata"]
        return self.fields("workflow_image", {"parent_id": image.parent_metadata.parent_id, **values})

    def detections(self, detections: sv.Detections) -> dict[str, Any]:
        try:
            values = serialise_sv_detections_for_transport(detections=detections)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            needed = "confidence, class_id, and class_name and detection_id in their data"
            raise self.error(f"has detections without what the wire needs ({needed}): {error!r}") from error
        return self.fields("sv_detections", values)

    def video(self, metadata: VideoMetadata) -> dict[str, Any]:
        return self.fields("video_metadata", serialize_video_metadata_kind(metadata))

    def action(self, action: ActionRecognitionPrediction) -> Any:
        return self.encode(serialize_action_recognition_prediction_kind([action])[0])

    def array(self, array: np.ndarray[Any, Any]) -> dict[str, Any]:
        """As nested lists, the only form that the wire has; one too large is refused before they are made."""
        kind = array.dtype.kind
        if kind not in ARRAY_KINDS or (kind != "U" and array.dtype.itemsize > MAX_ITEM_BYTES):
            raise self.error(f"is an array of {array.dtype}, for which the wire has no form; return numbers or text")
        if CHARS_PER_ITEM * array.size > self.limits.result_bytes:
            raise self.error(f"is an array of {array.size:,} values, too many for this transport")
        return _tag("ndarray", value=array.tolist(), dtype=str(array.dtype), shape=list(array.shape))

    def moment(self, moment: datetime) -> dict[str, Any]:
        return _tag("datetime", value=moment.isoformat())

    def scalar(self, value: "np.generic[Any]") -> Any:
        plain = value.item()
        return self.text(value) if isinstance(plain, np.generic | complex) else self.encode(plain)

    def integer(self, number: int) -> int:
        value = int.__int__(number)
        if self.packed and not MIN_INT <= value <= MAX_INT:
            raise self.error("is an integer of more than 64 bits, for which this transport has no form")
        return value

    def text(self, value: Any) -> str:
        try:
            return str(value)[: self.limits.message_chars]
        except Exception as error:  # the user's own __str__
            raise self.error(f"is an object without a text: {type(error).__name__}") from error

    def error(self, problem: str) -> ContractError:
        return ContractError(f"result{''.join(self.path)} {problem}")


_KINDS: tuple[tuple[type | tuple[type, ...], Callable[[_Encoder, Any], Any]], ...] = (
    (np.generic, _Encoder.scalar),  # first: some of them are Python's numbers and texts too
    (str, _Encoder.string),
    (int, _Encoder.integer),
    (float, _Encoder.decimal),
    ((bytes, bytearray), _Encoder.binary),
    (dict, _Encoder.mapping),
    ((list, tuple, set, frozenset, Batch), _Encoder.sequence),
    (WorkflowImageData, _Encoder.image),
    (sv.Detections, _Encoder.detections),
    (np.ndarray, _Encoder.array),
    (datetime, _Encoder.moment),
    (VideoMetadata, _Encoder.video),
    (ActionRecognitionPrediction, _Encoder.action),
)


def _tag(kind: str, **fields: Any) -> dict[str, Any]:
    return {"_type": kind, **fields}


def _key(key: Any) -> str:
    """As JSON has it: texts for the constants and numbers that it takes as keys."""
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, np.generic):
        return _key(key.item())
    return json.dumps(key) if key is None or isinstance(key, bool) else str(key)
