"""Property values: Pulumi's wire form ↔ plain Python values, what is secret and what isn't known yet kept apart.

The wire form is a protobuf Struct in which a map with a signature key stands for what JSON has no word for (Pulumi SDK,
sdk/python/lib/pulumi/runtime/rpc.py; the signatures are part of the protocol). Secrecy is kept per property: one that
holds a secret at any depth is secret as a whole.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf import struct_pb2
from pulumi.runtime import rpc

SIGNATURE = rpc._special_sig_key
SECRET = rpc._special_secret_sig
OUTPUT = rpc._special_output_value_sig


class Unknown(Enum):
    """A value that only the deployment will tell, as previews have them."""

    UNKNOWN = rpc.UNKNOWN

    def __repr__(self) -> str:
        return "(not known yet)"


UNKNOWN = Unknown.UNKNOWN


@dataclass(frozen=True)
class Properties:
    """Plain values by property name, and the names of those that are secret."""

    values: dict[str, Any]
    secret: frozenset[str]


def decode(struct: struct_pb2.Struct) -> Properties:
    """From the wire. Null means absent, whole numbers are int, values not known yet are UNKNOWN."""
    values, secret = {}, set()
    for name, field in struct.fields.items():
        value, hidden = _decode(field)
        if value is not None:
            values[name] = value
            if hidden:
                secret.add(name)
    return Properties(values, frozenset(secret))


def _decode(field: struct_pb2.Value) -> tuple[Any, bool]:
    match field.WhichOneof("kind"):
        case "string_value":
            text = field.string_value
            return (UNKNOWN if text == rpc.UNKNOWN else text), False
        case "number_value":
            number = field.number_value
            return (int(number) if number.is_integer() else number), False
        case "bool_value":
            return field.bool_value, False
        case "list_value":
            items = [_decode(item) for item in field.list_value.values]
            return [value for value, _ in items], any(hidden for _, hidden in items)
        case "struct_value":
            return _decode_map(field.struct_value)
        case _:
            return None, False


def _decode_map(struct: struct_pb2.Struct) -> tuple[Any, bool]:
    fields = struct.fields
    signature = fields[SIGNATURE].string_value if SIGNATURE in fields else ""
    if signature == SECRET:
        return _decode(fields["value"])[0], True
    if signature == OUTPUT:
        value, hidden = _decode(fields["value"]) if "value" in fields else (UNKNOWN, False)
        return value, hidden or ("secret" in fields and fields["secret"].bool_value)
    items = {name: _decode(item) for name, item in fields.items()}
    plain = {name: value for name, (value, _) in items.items() if value is not None}
    return plain, any(hidden for _, hidden in items.values())


def encode(values: Mapping[str, Any], secret: Iterable[str]) -> struct_pb2.Struct:
    """To the wire; the properties named in `secret` become secrets of the state."""
    hidden = set(secret)
    struct = struct_pb2.Struct()
    for name, value in values.items():
        field = _encode(value)
        if name in hidden:
            struct.fields[name].struct_value.fields[SIGNATURE].string_value = SECRET
            struct.fields[name].struct_value.fields["value"].CopyFrom(field)
        else:
            struct.fields[name].CopyFrom(field)
    return struct


def _encode(value: Any) -> struct_pb2.Value:
    field = struct_pb2.Value()
    match value:
        case Unknown():
            field.string_value = rpc.UNKNOWN
        case bool():
            field.bool_value = value
        case int() | float():
            field.number_value = value
        case str():
            field.string_value = value
        case Mapping():
            fields = {str(name): _encode(item) for name, item in value.items()}
            field.struct_value.CopyFrom(struct_pb2.Struct(fields=fields))
        case list() | tuple():
            field.list_value.CopyFrom(struct_pb2.ListValue(values=map(_encode, value)))
        case _:
            raise TypeError(f"no property value: {type(value).__name__}")
    return field


def texts_in(value: Any) -> list[str]:
    """Every text inside a value, to be kept out of messages."""
    match value:
        case str():
            return [value]
        case Mapping():
            return [text for item in value.values() for text in texts_in(item)]
        case list():
            return [text for item in value for text in texts_in(item)]
        case _:
            return []
