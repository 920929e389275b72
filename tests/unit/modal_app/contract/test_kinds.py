"""Every kind of value comes back as it went; what can't be data is refused by name, forged data by what is wrong."""

import math
import sys
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import cbor2
import numpy as np
import pytest
import supervision as sv
import torch
from roboflow_workflows.core_steps.models.roboflow.action_recognition.entities import ActionRecognitionPrediction
from roboflow_workflows.execution_engine.entities.base import (
    Batch,
    ImageParentMetadata,
    OriginCoordinatesSystem,
    VideoMetadata,
    WorkflowImageData,
)

from modal_app.contract import cbor
from modal_app.contract.errors import ContractError
from modal_app.contract.kinds import decode_value, encode_value
from modal_app.settings import Limits

LIMITS = Limits()


def there_and_back(value: Any, limits: Limits = LIMITS) -> Any:
    data = cbor2.dumps(encode_value(value, limits))
    return decode_value(cbor.decode(data, max_depth=200, max_items=100_000), limits)


def same(left: Any, right: Any) -> bool:  # noqa: PLR0911 - one return per type
    """Equal to the type and the bit, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return _same_array(left, right)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, np.generic):
        return bool(left.dtype == right.dtype and left.tobytes() == right.tobytes())
    if isinstance(left, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, (set, frozenset)):
        return left == right and sorted(map(repr, left)) == sorted(map(repr, right))
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and left.shape == right.shape and bool(torch.equal(left, right))
    if isinstance(left, complex):
        return same([left.real, left.imag], [right.real, right.imag])
    if isinstance(left, Decimal):
        return str(left) == str(right)
    if isinstance(left, (sv.Detections, sv.KeyPoints, sv.Classifications, WorkflowImageData, Batch)):
        return same(vars(left), vars(right))
    return bool(left == right)


def _same_array(left: Any, right: Any) -> bool:
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype == object:
        return same(left.ravel().tolist(), right.ravel().tolist())
    return bool(left.tobytes() == right.tobytes() and left.flags.f_contiguous == right.flags.f_contiguous)


def image(pixels: Any = None, **fields: Any) -> WorkflowImageData:
    if pixels is None:
        pixels = np.random.default_rng(1).integers(0, 255, (6, 5, 3), dtype=np.uint8)
    return WorkflowImageData(parent_metadata=ImageParentMetadata(parent_id="camera"), numpy_image=pixels, **fields)


def video(**fields: Any) -> VideoMetadata:
    return VideoMetadata(
        video_identifier="v", frame_number=7, frame_timestamp=datetime(2024, 2, 29, 23, 59, 59, 123456, UTC), **fields
    )


def detections() -> sv.Detections:
    masks = np.zeros((2, 8, 9), dtype=bool)
    masks[0, 1:5, 1:5] = True
    masks[0, 2:4, 2:4] = False  # a hole
    masks[1, 0, 0] = masks[1, 7, 8] = True  # two parts
    return sv.Detections(
        xyxy=np.array([[0.1, 1, 2, 3], [4, 5, 6, 7.25]], dtype=np.float32),
        mask=masks,
        confidence=np.array([0.5, 0.25], dtype=np.float32),
        class_id=np.array([3, 1]),
        tracker_id=np.array([10, 11]),
        data={
            "class_name": np.array(["dog", "größer"]),
            "detection_id": np.array(["a", "b"]),
            "keypoints_class_name": np.array([np.array(["x", "y"]), np.array(["z"])], dtype=object),
            "rle_mask": np.array([{"size": [8, 9], "counts": b"12"}, {"size": [8, 9], "counts": "12"}], dtype=object),
            "of_the_users": ["one", {"two": 2}],
        },
        metadata={"image_dimensions": [8, 9], "note": "kept"},
    )


VALUES: dict[str, Any] = {
    "nothing": None,
    "bools and numbers": [True, False, 0, -1, 2**63, -(2**64), 2**64, -(2**200), 1.5, -0.0, math.inf, math.nan],
    "text": ["", "zwölf", "a\x00b", "\ud800 alone"],
    "bytes": [b"", b"\x00\xff"],
    "tuples": (1, (2, [3, ()])),
    "sets": [set(), {1, "a", None, (1, "x"), b"b", np.int64(7), np.str_("s")}, frozenset({2.5, False})],
    "decimals": [
        Decimal(text) for text in ("0", "-0", "1.10", "-1E+30", "1E-999", "NaN", "sNaN", "-Infinity", "7" * 999)
    ],
    "complex numbers": [1 + 2j, complex("nan-infj"), -0j],
    "identifiers": UUID("12345678-1234-5678-1234-567812345678"),
    "a bytearray": [bytearray(b"\x00\xff"), bytearray()],
    "a dict with our tag": {"$kind": "image", "pixels": "none"},
    "a nested dict with our tag": {"a": [{"$kind": {"$kind": None}}]},
    "a dict with odd keys": {
        1: "a",
        "1": "b",
        2.5: "c",
        None: "d",
        False: "e",
        (1, "x"): "f",
        b"g": "g",
        "\ud800": "h",
    },
    "an empty dict": {},
    "times": [
        datetime(2024, 1, 2, 3, 4, 5, 678901),
        datetime(2024, 1, 2, tzinfo=UTC),
        datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
        datetime(1, 1, 1),
        datetime.max,
    ],
    "dates": [date(2024, 2, 29), date.min, date.max],
    "times of day": [
        time(1, 2, 3, 4),
        time(23, 59, tzinfo=UTC),
        time(2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        time(2, 30, tzinfo=timezone(timedelta(minutes=-90))),
    ],
    "spans of time": [timedelta(0), timedelta(days=-1, microseconds=1), timedelta.min, timedelta.max],
    "arrays of every type": [
        np.arange(6).astype(kind).reshape(2, 3)
        for kind in (
            "?",
            "i1",
            "u1",
            "i2",
            ">i4",
            "u4",
            "i8",
            "u8",
            "f2",
            "f4",
            ">f8",
            "c8",
            "c16",
            "U3",
            "S3",
            "M8[ms]",
            "m8[s]",
        )
    ],
    "arrays of every shape": [np.zeros(shape) for shape in ((), (0,), (3, 0, 2), (1,), (1, 1, 1, 1, 1))],
    "an array in Fortran order": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "a view of an array": np.arange(100).reshape(10, 10)[::2, ::-3],
    "arrays that go in pieces": [
        np.arange(400_000),
        np.asfortranarray(np.arange(400_000.0).reshape(1000, 400)),
        np.arange(600_000).reshape(600, 1000)[:, ::2],
        np.full(300_000, "é", dtype="<U1"),
    ],
    "a tensor that goes in pieces": torch.arange(600_000).reshape(2, -1)[:, ::2],
    "an array of objects": np.array([[None, "a"], [{"b": 1}, np.arange(2)]], dtype=object),
    "scalars": [
        np.float32(1.5),
        np.int64(-3),
        np.bool_(True),
        np.str_("s"),
        np.float64("nan"),
        np.datetime64("2024-01-02"),
    ],
    "tensors": [
        torch.arange(6).reshape(2, 3),
        torch.tensor(1.5),
        torch.zeros((0, 3), dtype=torch.float16),
        torch.ones(3, dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.arange(12).reshape(3, 4).T[::2],
        torch.complex(torch.ones(2), torch.zeros(2)).conj(),
    ],
    "detections": detections(),
    "key points": [
        sv.KeyPoints(xy=np.zeros((0, 0, 2), dtype=np.float32)),
        sv.KeyPoints(
            xy=np.arange(12, dtype=np.float32).reshape(2, 3, 2),
            class_id=np.array([0, 4]),
            keypoint_confidence=np.full((2, 3), 0.5, dtype=np.float32),
            detection_confidence=np.array([0.25, 0.75], dtype=np.float32),
            visible=np.array([[True, False, True], [False, True, True]]),
            data={"class_name": np.array(["dog", "cat"])},
        ),
    ],
    "classifications": [
        sv.Classifications(class_id=np.array([2, 0]), confidence=np.array([0.9, 0.1], dtype=np.float32)),
        sv.Classifications(class_id=np.array([], dtype=int)),
    ],
    "recognised actions": [
        ActionRecognitionPrediction(start_frame_idx=1, end_frame_idx=9, class_name="wave", confidence=0.5, class_id=3),
        ActionRecognitionPrediction(start_frame_idx=1, end_frame_idx=9, class_name="wave", class_id=-1),
    ],
    "no detections": sv.Detections.empty(),
    "video metadata": [video(), video(fps=29.97, measured_fps=1, comes_from_video_file=True, total_frames=9)],
    "an image": image(),
    "an image with video metadata": image(video_metadata=video()),
    "a batch": Batch.init(content=[image(), {"a": (1,)}], indices=[(0, 1), (0, 2)]),
    "a batch without indices": Batch(content=[1, 2], indices=None),
    "a batch in a batch": Batch.init(content=[Batch.init(content=[1], indices=[(0, 0)])], indices=[(0,)]),
    "images of other types": [
        image(np.zeros((4, 4), dtype=np.uint8)),
        image(np.zeros((4, 4, 4), dtype=np.uint8)),
        image(np.full((4, 4, 3), 60_000, dtype=np.uint16)),
        image(np.full((4, 4, 1), 0.1, dtype=np.float32)),
    ],
    "what a block returns": [{"out": image(), "detections": detections(), "text": "t"}, None, {"out": None}],
}


@pytest.mark.parametrize("name", VALUES)
def test_it_comes_back_as_it_went(name: str) -> None:
    assert same(there_and_back(VALUES[name]), VALUES[name])


def test_arrays_come_back_writable() -> None:
    there_and_back(np.zeros(3))[0] = 1
    there_and_back(image()).numpy_image[0] = 1


def test_a_crop_keeps_its_lineage() -> None:
    crop = WorkflowImageData.create_crop(image(), "crop", np.zeros((2, 2, 3), dtype=np.uint8), 3, 4)
    back = there_and_back(crop)
    assert back.parent_metadata == crop.parent_metadata
    assert back.workflow_root_ancestor_metadata == crop.workflow_root_ancestor_metadata
    assert back.parent_metadata.origin_coordinates == OriginCoordinatesSystem(3, 4, 5, 6)


def test_a_crop_of_the_engines_crop_block_keeps_its_lineage() -> None:
    """The block takes the id and the place out of the detections' arrays."""
    left, top = np.array([3, 4])
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    crop = WorkflowImageData.create_crop(image(), np.array(["crop"])[0], pixels, left, top)
    back = there_and_back(crop)
    assert back.parent_metadata == crop.parent_metadata
    assert type(back.parent_metadata.parent_id) is str
    assert type(back.parent_metadata.origin_coordinates.left_top_x) is int


def test_an_image_that_is_its_own_root_stays_so() -> None:
    back = there_and_back(image())
    assert back._workflow_root_ancestor_metadata is back._parent_metadata


def test_compact_masks_arrive_dense() -> None:
    from supervision.detection.compact_mask import CompactMask  # noqa: PLC0415

    original = detections()
    dense = original.mask
    original.mask = CompactMask.from_dense(dense, original.xyxy, (8, 9))
    expected = original.mask.to_dense()
    np.testing.assert_array_equal(there_and_back(original).mask, expected)


class Odd:
    pass


class OddStr(str):
    __slots__ = ()


class Place(NamedTuple):
    x: int
    y: int


class Level(IntEnum):
    HIGH = 1


def circular() -> list[Any]:
    value: list[Any] = [{}]
    value[0]["again"] = value
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(60):
        value = [value]
    return value


REFUSED: dict[str, tuple[Any, str]] = {
    "an object": ({"out": [Odd()]}, r"result\['out'\]\[0\] is of type .*Odd, which can't leave the sandbox"),
    "a module": ({"m": math}, r"result\['m'\] is of type module"),
    "a function": ({"f": len}, r"result\['f'\] is of type builtin_function_or_method"),
    "a set of sets": ({"s": {frozenset()}}, r"result\['s'\] is a set with a frozenset"),
    "a subclass of text": ({"s": OddStr("x")}, r"result\['s'\] is of type .*OddStr, .* return str\(…\) of it"),
    "a subclass of dict": ({"s": OrderedDict(a=1)}, r"collections.OrderedDict, .* return dict\(…\) of it"),
    "a named tuple": ({"s": Place(1, 2)}, r"result\['s'\] is of type .*Place, .* return tuple\(…\) of it"),
    "a number with a name": ({"s": Level.HIGH}, r"result\['s'\] is of type .*Level, .* return int\(…\) of it"),
    "an open file": ({"f": sys.stdin}, r"result\['f'\] is of type .*, which can't leave the sandbox"),
    "a model": ({"m": torch.nn.Linear(1, 1)}, r"result\['m'\] is of type torch.nn.modules.linear.Linear"),
    "a tensor elsewhere": (
        {"t": torch.zeros(1, device="meta")},
        r"result\['t'\] is a tensor on the device meta; return tensor.cpu\(\)",
    ),
    "a sparse tensor": ({"t": torch.eye(2).to_sparse()}, r"result\['t'\] is a tensor of float32 with the layout"),
    "a decimal too long": ({"d": Decimal("1" * 5000)}, r"result\['d'\] is a decimal of more than 4096 digits"),
    "a decimal too large": ({"d": Decimal("1E+9999999")}, r"result\['d'\] is a decimal .* too large an exponent"),
    "an iterator": ({"g": map(abs, ())}, r"result\['g'\] is of type map"),
    "an odd key": ({"s": {frozenset(): 1}}, r"result\['s'\] has a key of type frozenset"),
    "an object in detections": (
        sv.Detections(xyxy=np.zeros((1, 4)), data={"x": [Odd()]}),
        r"result.data\['x'\]\[0\] is of type .*Odd",
    ),
    "an object in an array": ({"a": np.array([Odd()], dtype=object)}, r"result\['a'\]\[0\] is of type .*Odd"),
    "a structured array": ({"a": np.zeros(2, dtype=[("x", "i4")])}, r"result\['a'\] is an array of \[\('x'"),
    "itself": (circular(), r"result\[0\]\['again'\] contains itself"),
    "too deep": (deep(), "nested deeper than 48 levels"),
    "a huge number": ({"n": 1 << 20_000}, r"result\['n'\] is an integer of more than"),
    "an image that is not there": ({"i": image(np.zeros(3))}, r"result\['i'\] is an image whose pixels are not"),
    "an image that can't be loaded": (
        {"i": WorkflowImageData(parent_metadata=ImageParentMetadata(parent_id="x"), base64_image="no image")},
        r"result\['i'\] is an image that can't be loaded in the sandbox",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_data_is_refused_with_its_path_and_type(name: str) -> None:
    value, message = REFUSED[name]
    with pytest.raises(ContractError, match=message) as caught:
        encode_value(value, LIMITS)
    assert "\n" not in str(caught.value)


def test_sharing_is_no_loop() -> None:
    shared = [1]
    assert there_and_back([shared, shared, {"a": shared}]) == [[1], [1], {"a": [1]}]


@pytest.mark.parametrize(
    ("limits", "value", "message"),
    [
        (Limits(result_bytes=100), [b"x" * 60, b"x" * 60], r"result\[1\] brings the result to more than 100 bytes"),
        (Limits(result_bytes=100), {"a": np.zeros(13)}, r"result\['a'\] brings the result to more than 100 bytes"),
        (Limits(result_bytes=100), ["x" * 101], r"result\[0\] brings"),
        (Limits(result_values=10), [0] * 10, r"result\[9\] brings the result to more than 10 values"),
        (Limits(image_pixels=24), image(np.zeros((5, 5))), "result is an image of more than 24 pixels"),
    ],
)
def test_limits_are_named(limits: Limits, value: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        encode_value(value, limits)


def test_doubling_lists_end_at_the_limit() -> None:
    value: list[Any] = []
    for _ in range(40):
        value = [value, value]
    with pytest.raises(ContractError, match="more than 1,000 values"):
        encode_value(value, Limits(result_values=1000))
