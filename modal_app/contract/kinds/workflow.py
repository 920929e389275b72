"""The engine's own values: images, the metadata of a video's frames, batches.

Inference's serialisers are used where they lose nothing: `serialize_video_metadata_kind` and its counterpart. Its image
serialiser isn't: it gives a JPEG, and leaves the lineage of an image out unless it is a crop.
"""

from datetime import datetime
from typing import Any

import numpy as np
from roboflow_workflows.core_steps.common.deserializers import deserialize_video_metadata_kind
from roboflow_workflows.core_steps.common.serializers import serialize_video_metadata_kind
from roboflow_workflows.execution_engine.entities.base import (
    Batch,
    ImageParentMetadata,
    OriginCoordinatesSystem,
    VideoMetadata,
    WorkflowImageData,
)

from modal_app.contract.codec import Decoder, Encoder, Fields, Kind
from modal_app.contract.kinds.arrays import ARRAY_FIELDS, decode_array, encode_array

VIDEO_FIELDS: dict[str, tuple[type | None, ...]] = {
    "video_identifier": (str,),
    "frame_number": (int,),
    "frame_timestamp": (datetime,),
    "fps": (float, None),
    "measured_fps": (float, None),
    "comes_from_video_file": (bool, None),
    "total_frames": (int, None),
}
ORIGIN_FIELDS = ("left_top_x", "left_top_y", "origin_width", "origin_height")
LINEAGE_FIELDS = ("parent_id", "origin")
_MAX_COORDINATE = 2**31 - 1


def _encode_image(image: WorkflowImageData, encoder: Encoder) -> Fields:
    """Pixels to the bit, with the lineage as the image holds it (its properties would fill gaps in)."""
    try:
        pixels = image.numpy_image
    except Exception as error:  # it may have to load the image from anywhere
        raise encoder.error(f"is an image that can't be loaded in the sandbox: {type(error).__name__}") from error
    if not isinstance(pixels, np.ndarray) or pixels.ndim not in (2, 3) or pixels.dtype.kind not in "buif":
        raise encoder.error("is an image whose pixels are not a 2- or 3-dimensional array of numbers")
    if pixels.shape[0] * pixels.shape[1] > encoder.limits.image_pixels:
        raise encoder.error(f"is an image of more than {encoder.limits.image_pixels:,} pixels; return a smaller one")
    parent, root = image._parent_metadata, image._workflow_root_ancestor_metadata
    video = image._video_metadata
    return {
        "pixels": encode_array(pixels, encoder),
        "parent": _encode_lineage(parent, encoder),
        "root": None if root is parent else _encode_lineage(root, encoder),
        "video": None if video is None else encoder.child(".video_metadata", video),
    }


def _decode_image(fields: Fields, decoder: Decoder) -> WorkflowImageData:
    pixels = decode_array(decoder.fields(fields["pixels"], ARRAY_FIELDS), decoder)
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "buif":
        raise decoder.error("is an image whose pixels are not a 2- or 3-dimensional array of numbers")
    if pixels.shape[0] * pixels.shape[1] > decoder.limits.image_pixels:
        raise decoder.error(f"is an image of more than {decoder.limits.image_pixels:,} pixels")
    root = fields["root"]
    video = None if fields["video"] is None else decoder.child(".video_metadata", fields["video"])
    return WorkflowImageData(
        parent_metadata=_decode_lineage(fields["parent"], decoder),
        workflow_root_ancestor_metadata=None if root is None else _decode_lineage(root, decoder),
        numpy_image=pixels,
        video_metadata=decoder.expect(video, VideoMetadata, None),
    )


def _encode_lineage(lineage: ImageParentMetadata, encoder: Encoder) -> Fields:
    origin = lineage.origin_coordinates
    return {
        "parent_id": encoder.child(".parent_id", _plain(lineage.parent_id)),
        "origin": origin and [encoder.child(f".{name}", _plain(getattr(origin, name))) for name in ORIGIN_FIELDS],
    }


def _plain(value: Any) -> Any:
    """`value` as Python's own type: the engine's crop block takes a crop's id and place from NumPy arrays."""
    return value.item() if isinstance(value, np.generic) else value


def _decode_lineage(data: Any, decoder: Decoder) -> ImageParentMetadata:
    fields = decoder.fields(data, LINEAGE_FIELDS)
    parent_id = decoder.expect(decoder.child(".parent_id", fields["parent_id"]), str)
    if fields["origin"] is None:
        return ImageParentMetadata(parent_id=parent_id)
    coordinates = decoder.integers(fields["origin"], low=-_MAX_COORDINATE, high=_MAX_COORDINATE)
    if len(coordinates) != len(ORIGIN_FIELDS):
        raise decoder.error("has an origin that is not four coordinates")
    return ImageParentMetadata(parent_id=parent_id, origin_coordinates=OriginCoordinatesSystem(*coordinates))


def _encode_video(metadata: VideoMetadata, encoder: Encoder) -> Fields:
    values = serialize_video_metadata_kind(metadata)
    return {name: encoder.child(f".{name}", values[name]) for name in VIDEO_FIELDS}


def _decode_video(fields: Fields, decoder: Decoder) -> VideoMetadata:
    values = {
        name: decoder.expect(decoder.child(f".{name}", fields[name]), *types) for name, types in VIDEO_FIELDS.items()
    }
    return deserialize_video_metadata_kind("result", values)


def _encode_batch(batch: Batch, encoder: Encoder) -> Fields:
    indices = batch.indices
    return {
        "content": encoder.items(batch),
        "indices": None if indices is None else [encoder.child(".indices", list(index)) for index in indices],
    }


def _decode_batch(fields: Fields, decoder: Decoder) -> Batch:
    content = decoder.items(decoder.expect(fields["content"], list))
    indices = decoder.expect(fields["indices"], list, None)
    if indices is not None:
        indices = [decoder.integers(index, low=0, high=_MAX_COORDINATE) for index in indices]
        if len(indices) != len(content):
            raise decoder.error("is a batch with another number of indices than elements")
    return Batch(content=content, indices=indices)


KINDS = (
    Kind("image", (WorkflowImageData,), ("pixels", "parent", "root", "video"), _encode_image, _decode_image),
    Kind("video_metadata", (VideoMetadata,), tuple(VIDEO_FIELDS), _encode_video, _decode_video),
    Kind("batch", (Batch,), ("content", "indices"), _encode_batch, _decode_batch),
)
