"""Decodes the part of CBOR (RFC 8949) that a response may use; everything else is refused.

A general decoder does too much for bytes that a hostile container chose: tags that build regular expressions, dates or
shared objects, dicts with colliding integer keys, a million empty maps in a megabyte. What is accepted here: integers
of 64 bits, floats, bytes, text, arrays, and maps with distinct text keys, all of definite length, within a depth and a
number of items.
"""

import struct
from typing import Any

from modal_app.contract.errors import ContractError

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_CONSTANTS = {20: False, 21: True, 22: None}
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_ONE_BYTE, _LONGEST, _INDEFINITE = 24, 27, 31


def decode(data: bytes, *, max_depth: int, max_items: int) -> Any:
    """The one item that `data` encodes: None, bool, int, float, bytes, str, list or dict with str keys.

    Raises:
        ContractError: malformed, truncated or trailing bytes, an encoding outside the accepted part, or more than
            `max_items` items or `max_depth` levels.
    """
    reader = _Reader(data, max_items)
    value = reader.item(max_depth)
    if reader.position != len(data):
        raise ContractError(f"{len(data) - reader.position} bytes follow the end of the encoded value")
    return value


class _Reader:
    def __init__(self, data: bytes, max_items: int) -> None:
        self.data = data
        self.position = 0
        self.max_items = max_items
        self.items_left = max_items

    def item(self, depth_left: int) -> Any:
        self.items_left -= 1
        if self.items_left < 0:
            raise ContractError(f"the value has more than {self.max_items:,} items")
        if depth_left == 0:
            raise ContractError("the value is nested too deep")
        initial = self.take(1)[0]
        major, info = initial >> 5, initial & 0x1F
        if major == _SIMPLE:
            return self.simple(info)
        if major == _TAG:
            raise ContractError("CBOR tags are not accepted")
        argument = self.argument(info)
        if major in (_UINT, _NEGATIVE):
            return argument if major == _UINT else -1 - argument
        if major == _BYTES:
            return self.take(argument)
        if major == _TEXT:
            return self.text(argument)
        return self.array(argument, depth_left) if major == _ARRAY else self.map(argument, depth_left)

    def take(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self.data):
            raise ContractError("the encoded value is cut short")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def argument(self, info: int) -> int:
        if info < _ONE_BYTE:
            return info
        if info == _INDEFINITE:
            raise ContractError("CBOR items of indefinite length are not accepted")
        if info > _LONGEST:
            raise ContractError("malformed CBOR: reserved length")
        return int.from_bytes(self.take(1 << (info - _ONE_BYTE)), "big")

    def simple(self, info: int) -> Any:
        if info in _CONSTANTS:
            return _CONSTANTS[info]
        if info in _FLOATS:
            layout, size = _FLOATS[info]
            return struct.unpack(layout, self.take(size))[0]
        raise ContractError("CBOR simple values other than false, true and null are not accepted")

    def text(self, length: int) -> str:
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ContractError("a text is not valid UTF-8") from error

    def array(self, length: int, depth_left: int) -> list[Any]:
        self.expect(length)
        return [self.item(depth_left - 1) for _ in range(length)]

    def map(self, length: int, depth_left: int) -> dict[str, Any]:
        self.expect(2 * length)
        result: dict[str, Any] = {}
        for _ in range(length):
            key = self.item(depth_left - 1)
            if type(key) is not str:
                raise ContractError("a map has a key that is not text")
            if key in result:
                raise ContractError("a map has the same key twice")
            result[key] = self.item(depth_left - 1)
        return result

    def expect(self, items: int) -> None:
        """Every item takes a byte: a length that can't be true is refused before anything is allocated for it."""
        if items > len(self.data) - self.position:
            raise ContractError("the encoded value is cut short")
        if items > self.items_left:
            raise ContractError(f"the value has more than {self.max_items:,} items")
