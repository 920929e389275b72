"""Scalars of Python and its standard library that JSON lacks: decimals, complex numbers, UUIDs, byte arrays."""

import re
from decimal import Decimal
from typing import Any
from uuid import UUID

from modal_app.contract.codec import Decoder, Encoder, Fields, Kind

MAX_DECIMAL_CHARS = 4096
UUID_BYTES = 16
_DECIMAL = re.compile(r"-?(\d+(\.\d+)?(E[+-]\d{1,6})?|Infinity|s?NaN\d*)")
"""What `str` gives. The exponent is bounded: a number of 10¹² digits as an integer takes a server's memory."""


def _encode_decimal(value: Decimal, encoder: Encoder) -> Fields:
    text = str(value)
    if len(text) > MAX_DECIMAL_CHARS or not _DECIMAL.fullmatch(text):
        raise encoder.error(f"is a decimal of more than {MAX_DECIMAL_CHARS} digits, or with too large an exponent")
    return {"text": text}


def _decode_decimal(fields: Fields, decoder: Decoder) -> Decimal:
    text: str = decoder.expect(fields["text"], str)
    if len(text) > MAX_DECIMAL_CHARS or not text.isascii() or not _DECIMAL.fullmatch(text):
        raise decoder.error("is a decimal that isn't one, or too long")
    return Decimal(text)


def _encode_complex(value: complex, _encoder: Encoder) -> Fields:
    return {"real": value.real, "imag": value.imag}


def _decode_complex(fields: Fields, decoder: Decoder) -> complex:
    return complex(decoder.expect(fields["real"], float), decoder.expect(fields["imag"], float))


def _encode_uuid(value: UUID, _encoder: Encoder) -> Fields:
    return {"bytes": value.bytes}


def _decode_uuid(fields: Fields, decoder: Decoder) -> UUID:
    data: bytes = decoder.expect(fields["bytes"], bytes)
    if len(data) != UUID_BYTES:
        raise decoder.error(f"is a UUID of {len(data)} bytes")
    return UUID(bytes=data)


def _encode_bytearray(value: bytearray, encoder: Encoder) -> Fields:
    encoder.spend(len(value))
    return {"bytes": bytes(value)}


def _decode_bytearray(fields: Fields, decoder: Decoder) -> Any:
    return bytearray(decoder.expect(fields["bytes"], bytes))


KINDS = (
    Kind("decimal", (Decimal,), ("text",), _encode_decimal, _decode_decimal),
    Kind("complex", (complex,), ("real", "imag"), _encode_complex, _decode_complex),
    Kind("uuid", (UUID,), ("bytes",), _encode_uuid, _decode_uuid),
    Kind("bytearray", (bytearray,), ("bytes",), _encode_bytearray, _decode_bytearray),
)
