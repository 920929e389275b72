"""Python's own types, where they can't stand for themselves: large integers, odd text, tuples, sets, unusual dicts."""

import re
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from modal_app.contract.codec import INT_MAX, INT_MIN, Decoder, Encoder, Fields, Kind

MAX_HEX_DIGITS = 4096
MAX_SAME_HASH = 64
"""Tuples with the same hash among the keys of one dict (tuples of -1 and -2 have it by nature)."""
_HEX = re.compile(r"-?0x[0-9a-f]+")
_KEY_TYPES = (str, bytes, bool, float, type(None))
_NUMPY_KEYS = (np.bool_, np.integer, np.floating, np.str_, np.bytes_)
"""They hash as Python's own."""


def _encode_int(value: int, encoder: Encoder) -> Fields:
    digits = hex(value)
    if len(digits) > MAX_HEX_DIGITS:
        raise encoder.error(f"is an integer of more than {4 * MAX_HEX_DIGITS} bits")
    return {"hex": digits}


def _decode_int(fields: Fields, decoder: Decoder) -> int:
    digits: str = decoder.expect(fields["hex"], str)
    if len(digits) > MAX_HEX_DIGITS or not _HEX.fullmatch(digits):
        raise decoder.error("has an integer that is not hexadecimal, or too long")
    return int(digits, 16)


def _encode_str(value: str, encoder: Encoder) -> Fields:
    data = value.encode("utf-8", "surrogatepass")
    encoder.spend(len(data))
    return {"utf8": data}


def _decode_str(fields: Fields, decoder: Decoder) -> str:
    data: bytes = decoder.expect(fields["utf8"], bytes)
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise decoder.error("has text that is not UTF-8") from error


def _encode_tuple(value: tuple[Any, ...], encoder: Encoder) -> Fields:
    return {"items": encoder.items(value)}


def _decode_tuple(fields: Fields, decoder: Decoder) -> tuple[Any, ...]:
    return tuple(decoder.items(decoder.expect(fields["items"], list)))


def _encode_dict(value: dict[Any, Any], encoder: Encoder) -> Fields:
    crowd = _Crowd()
    for key in value:
        if not _can_be_key(key):
            raise encoder.error(f"has a key of type {type(key).__name__}; use text, numbers, None or tuples of these")
        if not crowd.takes(key):
            raise encoder.error(f"is a dict with more than {MAX_SAME_HASH} tuples of the same hash as keys")
    return {"items": [[encoder.child(" key", key), encoder.child(f"[{key!r}]", item)] for key, item in value.items()]}


def _decode_dict(fields: Fields, decoder: Decoder) -> dict[Hashable, Any]:
    result: dict[Hashable, Any] = {}
    crowd = _Crowd()
    for entry in decoder.expect(fields["items"], list):
        if type(entry) is not list or len(entry) != 2:  # noqa: PLR2004 - a key and a value
            raise decoder.error("has an entry of a dict that is not a key and a value")
        key = decoder.child(" key", entry[0])
        if not _can_be_key(key):
            raise decoder.error("has a key of a dict that is not text, a number, None or a tuple of these")
        if not crowd.takes(key):
            raise decoder.error(f"has more than {MAX_SAME_HASH} tuples of the same hash as keys of a dict")
        if key in result:
            raise decoder.error("has the same key twice in a dict")
        result[key] = decoder.child("[…]", entry[1])
    return result


def _encode_set(values: Iterable[Any], encoder: Encoder) -> Fields:
    crowd = _Crowd()
    for value in values:
        if not _can_be_key(value):
            raise encoder.error(f"is a set with a {type(value).__name__}; use text, numbers, None or tuples of these")
        if not crowd.takes(value):
            raise encoder.error(f"is a set with more than {MAX_SAME_HASH} tuples of the same hash")
    return {"items": encoder.items(values)}


def _decode_set(fields: Fields, decoder: Decoder) -> set[Hashable]:
    values = decoder.items(decoder.expect(fields["items"], list))
    crowd = _Crowd()
    for value in values:
        if not _can_be_key(value):
            raise decoder.error("has an element of a set that is not text, a number, None or a tuple of these")
        if not crowd.takes(value):
            raise decoder.error(f"has more than {MAX_SAME_HASH} tuples of the same hash in a set")
    found = set(values)
    if len(found) != len(values):
        raise decoder.error("has the same element twice in a set")
    return found


def _decode_frozenset(fields: Fields, decoder: Decoder) -> frozenset[Hashable]:
    return frozenset(_decode_set(fields, decoder))


def _can_be_key(key: Any) -> bool:
    """Whether a server may put `key` into a dict: its hash can't be chosen to collide with that of many others.

    Text and bytes have random hashes, integers of 64 bits and floats few collisions; tuples are counted (`_Crowd`).
    """
    if type(key) is int:
        return INT_MIN <= key <= INT_MAX
    if type(key) is tuple:
        return all(type(part) is not tuple and _can_be_key(part) for part in key)
    return type(key) in _KEY_TYPES or isinstance(key, _NUMPY_KEYS)


class _Crowd:
    """Counts tuples by hash: a tuple of numbers can be made to have any, and a key is compared with all of its hash."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def takes(self, key: Hashable) -> bool:
        """Whether `key` may come to the others."""
        if type(key) is not tuple:
            return True
        hashed = hash(key)
        self._counts[hashed] = self._counts.get(hashed, 0) + 1
        return self._counts[hashed] <= MAX_SAME_HASH


KINDS = (
    Kind("int", (), ("hex",), _encode_int, _decode_int),
    Kind("str", (), ("utf8",), _encode_str, _decode_str),
    Kind("tuple", (tuple,), ("items",), _encode_tuple, _decode_tuple),
    Kind("set", (set,), ("items",), _encode_set, _decode_set),
    Kind("frozenset", (frozenset,), ("items",), _encode_set, _decode_frozenset),
    Kind("dict", (dict,), ("items",), _encode_dict, _decode_dict),
)
