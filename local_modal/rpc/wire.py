"""Looks at a message before it is parsed: of an empty submessage, two bytes, protobuf makes an object of a hundred."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_SIZES = {_EIGHT: 8, _FOUR: 4}
_MAX_VARINT_BYTES = 10
_MASK = (1 << 64) - 1


def few_fields(data: bytes, kind: type[Message], most: int) -> bool:
    """Whether a message of that kind has at most `most` fields in all, its submessages' included.

    Groups, which proto3 doesn't have, are too many.
    What is cut short is left to the parser to refuse: nothing follows that it could make objects of.
    """
    return _count(memoryview(data), kind.DESCRIPTOR, most) <= most


def _count(data: memoryview, descriptor: Any, most: int) -> int:
    """How many fields there are, counted until there are more than `most`."""
    position = count = 0
    while position < len(data) and count <= most:
        count += 1
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(data, position)
        elif kind == _BYTES:
            length, position = _varint(data, position)
            if inner := _message_of(descriptor, tag >> 3):
                count += _count(data[position : position + length], inner, most - count)
            position += length
        elif kind in _SIZES:
            position += _SIZES[kind]
        else:
            return most + 1
    return count


def _message_of(descriptor: Any, number: int) -> Any:
    """The type of a field that holds a message."""
    found = descriptor.fields_by_number.get(number)
    return found.message_type if found is not None and found.type == FieldDescriptor.TYPE_MESSAGE else None


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """The number at `position`, of 64 bits as the parser's, and where it ends."""
    value = 0
    for index, byte in enumerate(data[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
            return value & _MASK, position + index + 1
    return 0, len(data)
