"""Data that no encoder writes: each forgery is refused, and by its own reason."""

from itertools import product
from typing import Any

import cbor2
import numpy as np
import pytest
import supervision as sv

from modal_app.contract.errors import ContractError, ContractVersionError
from modal_app.contract.kinds import decode_value, encode_value
from modal_app.contract.response import Failure, Frame, Output, RaisedError, build_response, decode_response
from modal_app.settings import Limits
from tests.unit.modal_app.contract.test_kinds import detections, image

LIMITS = Limits()


def array(**changes: Any) -> dict[str, Any]:
    return {"dtype": "|u1", "shape": [4], "order": "C", "data": b"1234", **changes}


def ndarray(**changes: Any) -> dict[str, Any]:
    return {"$kind": "ndarray", "shape": None, "objects": None, "array": array(**changes)}


def pixels(**changes: Any) -> dict[str, Any]:
    encoded: dict[str, Any] = encode_value(image(), LIMITS)
    return {**encoded, **changes}


def columns(**changes: Any) -> dict[str, Any]:
    encoded: dict[str, Any] = encode_value(detections(), LIMITS)
    return {**encoded, **changes}


def key_points(**changes: Any) -> dict[str, Any]:
    encoded: dict[str, Any] = encode_value(sv.KeyPoints(xy=np.zeros((1, 2, 2), dtype=np.float32)), LIMITS)
    return {**encoded, **changes}


def batch(**changes: Any) -> dict[str, Any]:
    return {"$kind": "batch", "content": [1, 2], "indices": None, **changes}


def time(**changes: Any) -> dict[str, Any]:
    return {"$kind": "datetime", "clock": "2024-01-02T03:04:05", "fold": 0, "zone": None, **changes}


def frame(**changes: Any) -> dict[str, Any]:
    texts = {"$kind": "video_metadata", "video_identifier": "v", "frame_timestamp": time()}
    numbers = {"frame_number": 7, "fps": None, "measured_fps": None, "total_frames": None}
    return {**texts, **numbers, "comes_from_video_file": None, **changes}


def tensor(**changes: Any) -> dict[str, Any]:
    return {"$kind": "tensor", "dtype": "uint8", "shape": [4], "data": b"1234", **changes}


def span(**changes: Any) -> dict[str, Any]:
    return {"$kind": "timedelta", "days": 0, "seconds": 0, "microseconds": 0, **changes}


def action(**changes: Any) -> dict[str, Any]:
    numbers = {"start_frame_idx": 1, "end_frame_idx": 2, "class_id": 3, "confidence": 0.5}
    return {"$kind": "action", "class_name": "wave", **numbers, **changes}


FORGED: list[tuple[Any, str]] = [
    ({"$kind": "pickle", "data": b""}, "a kind that this side doesn't know"),
    ({"$kind": "os.system", "data": "true"}, "a kind that this side doesn't know"),
    ({"$kind": None}, "a kind that this side doesn't know"),
    ({"$kind": ["image"]}, "a kind that this side doesn't know"),
    ({"$kind": "int"}, "exactly the fields hex"),
    ({"$kind": "int", "hex": "0x1", "more": 1}, "exactly the fields hex"),
    ({"$kind": "int", "hex": 1}, "field of type int where str is expected"),
    ({"$kind": "int", "hex": "1"}, "not hexadecimal"),
    ({"$kind": "int", "hex": "0x" + "f" * 10_000}, "too long"),
    ({"$kind": "str", "utf8": b"\xff"}, "not UTF-8"),
    ({"$kind": "tuple", "items": {"0": 1}}, "field of type dict where list is expected"),
    ({"$kind": "dict", "items": [[1]]}, "not a key and a value"),
    ({"$kind": "dict", "items": [["a", 1], ["a", 2]]}, "the same key twice"),
    ({"$kind": "dict", "items": [[[], 1]]}, "has a key of a dict that is not text"),
    ({"$kind": "dict", "items": [[ndarray(), 1]]}, "has a key of a dict that is not text"),
    ({"$kind": "dict", "items": [[{"$kind": "int", "hex": hex(2**70)}, 1]]}, "has a key of a dict that is not text"),
    (
        {"$kind": "dict", "items": [[{"$kind": "tuple", "items": [*key]}, 1] for key in product((-1, -2), repeat=7)]},
        "more than 64 tuples of the same hash",
    ),
    ({"$kind": "set", "items": [[]]}, "has an element of a set that is not text"),
    ({"$kind": "set", "items": [1, 1]}, "the same element twice"),
    ({"$kind": "frozenset", "items": [1, True]}, "the same element twice"),
    (
        {"$kind": "frozenset", "items": [{"$kind": "int", "hex": hex(2**70)}]},
        "has an element of a set that is not text",
    ),
    (
        {"$kind": "set", "items": [{"$kind": "tuple", "items": [*key]} for key in product((-1, -2), repeat=7)]},
        "more than 64 tuples of the same hash",
    ),
    ({"$kind": "decimal", "text": 1}, "field of type int where str is expected"),
    ({"$kind": "decimal", "text": "1_000"}, "a decimal that isn't one"),
    ({"$kind": "decimal", "text": "1E+9999999"}, "a decimal that isn't one"),
    ({"$kind": "decimal", "text": "9" * 5000}, "too long"),
    ({"$kind": "decimal", "text": "\u0661"}, "a decimal that isn't one"),
    ({"$kind": "complex", "real": 1, "imag": 0.0}, "field of type int where float is expected"),
    ({"$kind": "uuid", "bytes": b"123"}, "a UUID of 3 bytes"),
    ({"$kind": "bytearray", "bytes": "abc"}, "field of type str where bytes is expected"),
    ({"$kind": "date", "day": "tomorrow"}, "not in ISO format"),
    ({"$kind": "time", "clock": "25:00", "fold": 0, "zone": None}, "not in ISO format"),
    ({"$kind": "time", "clock": "12:00+01:00", "fold": 0, "zone": None}, "zone inside its clock time"),
    (span(days=10**9), "only hold integers from -999999999"),
    (span(seconds=86_400), "only hold integers from 0 to 86399"),
    (span(days=-999_999_999, seconds=-1), "only hold integers from 0"),
    (span(microseconds=0.5), "only hold integers from 0"),
    (tensor(dtype="qint8"), "a tensor of a type that is not accepted"),
    (tensor(dtype=["uint8"]), "field of type list where str is expected"),
    (tensor(shape=[5]), "its shape and type contradict"),
    (tensor(shape=[0, 2**31 - 1, 2**31 - 1], data=b""), "a shape that no array has"),
    (tensor(dtype="bool"), "neither true nor false"),
    (tensor(data=[1, 2, 3, 4]), "field of type int where bytes is expected"),
    (action(class_name=b"wave"), "is no recognised action"),
    (action(confidence=2.0), "is no recognised action"),
    (action(end_frame_idx="2"), "is no recognised action"),
    (key_points(xy=None), "field of type NoneType where ndarray is expected"),
    (key_points(visible=[True]), "field of type list where ndarray or null is expected"),
    (key_points(detection_confidence=encode_value(np.zeros(9), LIMITS)), "columns don't fit each other"),
    (ndarray(dtype="|O"), "a type that is not accepted"),
    (ndarray(dtype="O"), "a type that is not accepted"),
    (ndarray(dtype="|V4"), "a type that is not accepted"),
    (ndarray(dtype="i4,i4"), "a type that is not accepted"),
    (ndarray(dtype="<U0"), "a type that is not accepted"),
    (ndarray(dtype="<M8[25bogus]", data=b"", shape=[0]), "NumPy doesn't know"),
    (ndarray(dtype="<M8[0s]", data=bytes(8), shape=[1]), "a type that is not accepted"),
    (ndarray(dtype="<m8[00s]", data=bytes(8), shape=[1]), "a type that is not accepted"),
    (ndarray(data=b"", shape=[0, 2**31 - 1, 2**31 - 1]), "a shape that no array has"),
    ({"$kind": "ndarray", "shape": [0, 2**31 - 1, 2], "array": None, "objects": []}, "a shape that no array has"),
    (ndarray(dtype=b"|u1"), "field of type bytes where str is expected"),
    (ndarray(shape=[5]), "its shape and type contradict"),
    (ndarray(shape=[2, 2, 2]), "its shape and type contradict"),
    (ndarray(shape=[2**31, 2**31, 2**31]), "only hold integers from 0"),
    (ndarray(shape=[-4]), "only hold integers from 0"),
    (ndarray(shape=[True]), "only hold integers from 0"),
    (ndarray(shape=[4.0]), "only hold integers from 0"),
    (ndarray(shape=[1] * 33, data=b"1"), "more than 32 dimensions"),
    (ndarray(order="K"), "neither C nor F"),
    (ndarray(data="1234"), "field of type str where bytes or list is expected"),
    (ndarray(data=[b"12", "34"]), "field of type str where bytes is expected"),
    (ndarray(data=[b"12", [b"34"]]), "field of type list where bytes is expected"),
    (ndarray(data=[b"12", b"3"]), "its shape and type contradict"),
    (ndarray(dtype="|b1"), "neither true nor false"),
    (ndarray(dtype="<U1", shape=[1], data=b"\xff\xff\xff\xff"), "characters that don't exist"),
    (ndarray(dtype=">U1", shape=[1], data=b"\x00\x11\x00\x00"), "characters that don't exist"),
    ({"$kind": "ndarray", "shape": [3], "array": None, "objects": [1, 2]}, "whose number its shape contradicts"),
    ({"$kind": "scalar", "dtype": "|u1", "data": b"12"}, "its shape and type contradict"),
    ({"$kind": "scalar", **array()}, "exactly the fields dtype, data"),
    (pixels(pixels="/etc/passwd"), "field of type str where dict is expected"),
    (pixels(pixels="http://example.com/a.png"), "field of type str where dict is expected"),
    (pixels(pixels=array(dtype="|S1")), "not a 2- or 3-dimensional array of numbers"),
    (pixels(pixels=array()), "not a 2- or 3-dimensional array of numbers"),
    (pixels(image_reference="http://example.com/a.png"), "exactly the fields"),
    (pixels(parent=None), "field of type NoneType where dict is expected"),
    (pixels(parent={"parent_id": 1, "origin": None}), "field of type int where str is expected"),
    (pixels(parent={"parent_id": "a", "origin": [1, 2, 3]}), "not four coordinates"),
    (pixels(root={"parent_id": "a", "origin": [1, 2, 3, 2**40]}), "only hold integers from"),
    (pixels(video={"frame": 1}), "field of type dict where VideoMetadata or null is expected"),
    (columns(xyxy=None), "field of type NoneType where ndarray is expected"),
    (columns(xyxy=[[1, 2, 3, 4]]), "field of type list where ndarray is expected"),
    (columns(class_id="abc"), "field of type str where ndarray or null is expected"),
    (columns(data=[1]), "field of type list where dict is expected"),
    (columns(confidence=encode_value(np.zeros(3), LIMITS)), "columns don't fit each other"),
    (frame(frame_number="7"), "field of type str where int is expected"),
    (frame(frame_timestamp="2024-01-02"), "field of type str where datetime is expected"),
    (frame(fps=30), "field of type int where float or null is expected"),
    (batch(indices=[[0]]), "another number of indices"),
    (batch(indices=[[0], ["a"]]), "only hold integers"),
    (batch(content={}), "field of type dict where list is expected"),
    (time(clock="yesterday"), "not in ISO format"),
    (time(clock="2024-01-02T03:04:05+01:00"), "zone inside its clock time"),
    (time(zone="../../etc/passwd"), "the zone database doesn't list"),
    (time(zone="/etc/localtime"), "the zone database doesn't list"),
    (time(zone=1e9), "a day or more away"),
    (time(zone=float("nan")), "a day or more away"),
    (time(fold=2), "only hold integers from 0 to 1"),
]


@pytest.mark.parametrize(("data", "reason"), FORGED)
def test_a_forgery_is_refused(data: Any, reason: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode_value({"key": [data]}, LIMITS)
    assert reason in str(caught.value)
    assert str(caught.value).startswith("result['key'][0]")


def test_an_image_larger_than_the_limit_is_refused() -> None:
    with pytest.raises(ContractError, match="more than 10 pixels"):
        decode_value(pixels(), Limits(image_pixels=10))


ANSWER = build_response(
    failure=Failure("run", (RaisedError("ValueError", "no", (Frame(3, "run"),)),)), output=Output("out", "err")
)


def test_an_answer_comes_back_as_it_went() -> None:
    response = decode_response(cbor2.dumps(ANSWER), LIMITS)
    assert response.failure == Failure("run", (RaisedError("ValueError", "no", (Frame(3, "run"),)),))
    assert response.output == Output("out", "err")
    assert response.result is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"result": {"$kind": "x"}, "failure": None}, "doesn't know"),
        ({"failure": "all"}, "where dict is expected"),
        ({"failure": {"stage": "run", "errors": [], "missing_function": None}}, "not one that this side knows"),
        ({"failure": {"stage": "flight", "errors": [{}], "missing_function": None}}, "not one that this side knows"),
        ({"failure": {"stage": "run", "errors": [{}], "missing_function": None}}, "exactly the fields type"),
        ({"failure": {"stage": "run", "errors": [{}] * 9, "missing_function": None}}, "not one that this side knows"),
        ({"output": ["out"]}, "not stdout and stderr"),
        ({"output": [None, None]}, "where str is expected"),
        ({"traces": ["x"]}, "where dict is expected"),
        ({"seconds": "long"}, "where float is expected"),
        ({"inference": 1}, "where str is expected"),
        ({"extra": 1}, "exactly the fields"),
        ({"contract": True}, "exactly"),
    ],
)
def test_an_answer_that_is_forged_is_refused(changes: dict[str, Any], reason: str) -> None:
    answer = {**ANSWER, **changes}
    if changes == {"contract": True}:
        answer["extra"] = 1
    with pytest.raises(ContractError) as caught:
        decode_response(cbor2.dumps(answer), LIMITS)
    assert reason in str(caught.value)


def test_the_contract_version_is_looked_at_first() -> None:
    with pytest.raises(ContractVersionError, match="contract version 1, the deployed app 7"):
        decode_response(cbor2.dumps({"contract": 7, "anything": "else"}), LIMITS)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x80", b"\x05", cbor2.dumps([1])])
def test_what_is_no_answer_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError):
        decode_response(data, LIMITS)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_a_time_that_can_not_be_is_no_time(seconds: float) -> None:
    assert decode_response(cbor2.dumps({**ANSWER, "seconds": seconds}), LIMITS).seconds == 0.0


def test_texts_are_cut_and_frames_limited() -> None:
    limits = Limits(message_chars=10, output_chars=10, traceback_frames=2)
    error = RaisedError("T" * 1000, "m" * 1000, tuple(Frame(line, "f" * 1000) for line in range(1, 10)))
    answer = build_response(failure=Failure("run", (error,)), output=Output("o" * 1000, "e" * 1000))
    response = decode_response(cbor2.dumps(answer), limits)
    assert response.failure is not None
    (cut,) = response.failure.errors
    assert (len(cut.type), len(cut.message), [item.line for item in cut.frames]) == (200, 10, [8, 9])
    assert len(cut.frames[0].function) == 200
    assert len(response.output.stdout) <= 210
