"""NumPy's arrays and scalars: raw bytes with their type, shape and memory order; never a pickled object."""

import math
import re
from typing import Any, Literal

import numpy as np

from modal_app.contract.codec import Decoder, Encoder, Fields, Kind

MAX_DIMENSIONS = 32
MAX_EXTENT = 2**31 - 1
PIECE_BYTES = 1 << 20
_MAX_CODE_POINT = 0x10FFFF
_DTYPE = re.compile(
    r"\|(b1|i1|u1|S[1-9]\d{0,8})|[<>](i[248]|u[248]|f[248]|c8|c16|U[1-9]\d{0,8}|[mM]8(\[([1-9]\d{0,8})?[a-zA-Zμ]{1,7}\])?)"
)
"""Types that pass, by NumPy's names for them. A time's unit may be a multiple, but not of 0: NumPy divides by it, and a
process that does ends with SIGFPE."""
ARRAY_FIELDS = ("dtype", "shape", "order", "data")
SCALAR_FIELDS = ("dtype", "data")


def encode_array(array: np.ndarray[Any, Any], encoder: Encoder) -> Fields:
    """The fields of an array whose elements are numbers, bools, times or text of fixed size."""
    if not _DTYPE.fullmatch(array.dtype.str):
        raise encoder.error(f"is an array of {array.dtype}, which can't leave the sandbox; convert it first")
    order: Literal["C", "F"] = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    encoder.spend(array.nbytes)
    return {"dtype": array.dtype.str, "shape": list(array.shape), "order": order, "data": encode_bytes(array, order)}


def decode_array(fields: Fields, decoder: Decoder) -> np.ndarray[Any, Any]:
    """The array, writable, in the memory order it had; its bytes are checked to be values of its type."""
    dtype = _dtype(decoder.expect(fields["dtype"], str), decoder)
    shape = decode_shape(fields["shape"], decoder)
    data = decode_bytes(fields["data"], decoder)
    if math.prod(shape) * dtype.itemsize != len(data):
        raise decoder.error(f"is an array of {len(data):,} bytes, which its shape and type contradict")
    if fields["order"] not in ("C", "F"):
        raise decoder.error("is an array whose order is neither C nor F")
    flat = np.frombuffer(data, dtype=dtype)
    _check_elements(flat, decoder)
    return flat.reshape(shape, order=fields["order"])


def encode_bytes(array: np.ndarray[Any, Any], order: Literal["C", "F"] = "C") -> bytes | list[bytes]:
    """The bytes of an array's elements, in pieces if they are many: cbor2 takes a quarter of the time for those."""
    if array.nbytes <= PIECE_BYTES:
        return array.tobytes(order)
    flat = array.ravel(order).view(np.uint8)
    return [flat[begin : begin + PIECE_BYTES].tobytes() for begin in range(0, array.nbytes, PIECE_BYTES)]


def decode_bytes(data: Any, decoder: Decoder) -> bytearray:
    """Bytes that came whole or in pieces, to write to."""
    pieces = decoder.expect(data, bytes, list)
    if type(pieces) is bytes:
        return bytearray(pieces)
    for piece in pieces:
        decoder.expect(piece, bytes)
    return bytearray().join(pieces)


def _encode_ndarray(array: np.ndarray[Any, Any], encoder: Encoder) -> Fields:
    if array.dtype.hasobject:
        if array.dtype != np.dtype(object):
            raise encoder.error("is a structured array that holds objects, which can't leave the sandbox")
        return {"shape": list(array.shape), "array": None, "objects": encoder.items(array.ravel().tolist())}
    return {"shape": None, "array": encode_array(array, encoder), "objects": None}


def _decode_ndarray(fields: Fields, decoder: Decoder) -> np.ndarray[Any, Any]:
    if fields["objects"] is None:
        return decode_array(decoder.fields(fields["array"], ARRAY_FIELDS), decoder)
    shape = decode_shape(fields["shape"], decoder)
    objects = decoder.items(decoder.expect(fields["objects"], list))
    if math.prod(shape) != len(objects):
        raise decoder.error("is an array of objects whose number its shape contradicts")
    array = np.empty(len(objects), dtype=object)
    for index, item in enumerate(objects):
        array[index] = item
    return array.reshape(shape)


def _encode_scalar(value: np.generic, encoder: Encoder) -> Fields:
    fields = encode_array(np.asarray(value), encoder)
    return {name: fields[name] for name in SCALAR_FIELDS}


def _decode_scalar(fields: Fields, decoder: Decoder) -> Any:
    return decode_array({**fields, "shape": [], "order": "C"}, decoder)[()]


def _dtype(text: str, decoder: Decoder) -> np.dtype[Any]:
    if not _DTYPE.fullmatch(text):
        raise decoder.error("is an array of a type that is not accepted")
    try:
        return np.dtype(text)
    except (TypeError, ValueError) as error:
        raise decoder.error("is an array of a type that NumPy doesn't know") from error


def decode_shape(data: Any, decoder: Decoder) -> tuple[int, ...]:
    """The extents of an array (counts), if there is an array that has them."""
    shape = decoder.integers(data, low=0, high=MAX_EXTENT)
    if len(shape) > MAX_DIMENSIONS:
        raise decoder.error(f"is an array of more than {MAX_DIMENSIONS} dimensions")
    if math.prod(extent or 1 for extent in shape) > MAX_EXTENT:
        raise decoder.error("is an array of a shape that no array has, not even an empty one")
    return shape


def _check_elements(flat: np.ndarray[Any, Any], decoder: Decoder) -> None:
    """NumPy takes any bytes for a bool or a character; code that uses them later may not survive it."""
    if flat.dtype.kind == "b" and flat.size and flat.view(np.uint8).max() > 1:
        raise decoder.error("is an array of bools that are neither true nor false")
    if flat.dtype.kind == "U" and flat.size:
        code_points = flat.view(np.dtype(np.uint32).newbyteorder(flat.dtype.byteorder))
        if code_points.max() > _MAX_CODE_POINT:
            raise decoder.error("is an array of text with characters that don't exist")


KINDS = (
    Kind("ndarray", (np.ndarray,), ("shape", "array", "objects"), _encode_ndarray, _decode_ndarray),
    Kind("scalar", (np.generic,), SCALAR_FIELDS, _encode_scalar, _decode_scalar, subclasses=True),
)
