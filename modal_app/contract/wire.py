"""What the released client does with a result, as far as a door must know it to keep the server safe.

The client turns a dict tagged "workflow_image", and over HTTP an untagged one of type "base64", into an image by
`deserialize_image_kind`, which loads a text that begins like a URL, or that is the path of a file, from there: a result
could have the server fetch what it likes. Here such a dict must hold the bytes of a picture itself. An array is made by
NumPy of whatever "dtype" says, which may take memory by the gigabyte for a few characters of text.

Standard library and msgpack only: the sandbox checks what it encodes, a door what a sandbox sent.
"""

import json
import re
from typing import Any

import msgpack

MIN_INT, MAX_INT = -(2**63), 2**64 - 1
"""What an integer of msgpack can hold."""

PICTURES = ("/9j/", "iVBORw0KGgo")
"""How a JPEG and a PNG begin, as base64."""
_NUMBERS = re.compile(r"[<>|=]?(bool|u?int(8|16|32|64)|float(16|32|64)|[biuf][1248])")
_TEXT = re.compile(r"[<>|=]?U([0-9]{1,6})")
MAX_TEXT_ARRAY = 16 * 1024 * 1024
"""Characters of an array of texts, each of which has room for the longest."""


class ItemProblem(ValueError):
    """Something in a result would have the client load what it doesn't hold, or take more memory than it is large."""


def check_item(item: dict[str, Any]) -> None:
    """Checks one dict of a result, whatever is in it apart.

    Raises:
        ItemProblem: it is one of those.
    """
    tag = item.get("_type")
    if tag == "workflow_image" or (item.get("type") == "base64" and "value" in item):
        value = item.get("value")
        if type(value) is not str or not value.startswith(PICTURES):
            raise ItemProblem("looks like an image and doesn't hold the bytes of one")
    elif tag == "ndarray":
        _check_array(item)


def _check_array(item: dict[str, Any]) -> None:
    dtype = item.get("dtype")
    if type(dtype) is not str:
        raise ItemProblem("is an array without a type")
    if _NUMBERS.fullmatch(dtype):
        return
    text = _TEXT.fullmatch(dtype)
    if text is None or int(text[1]) * _leaves(item.get("value")) > MAX_TEXT_ARRAY:
        raise ItemProblem(f"is an array of {dtype[:20]!r}, which has no place in an answer")


def _leaves(value: Any) -> int:
    return sum(map(_leaves, value)) if type(value) is list else 1


def check_json(text: str) -> None:
    """Checks every dict of a result over HTTP, without keeping what it parses.

    Raises:
        ItemProblem: one of them, or the text isn't JSON.
    """
    try:
        json.loads(text, object_hook=_seen)
    except ItemProblem:
        raise
    except (ValueError, RecursionError) as error:
        raise ItemProblem(f"is no JSON: {type(error).__name__}") from error


def check_msgpack(data: bytes) -> None:
    """Checks every map of a result over WebSocket, as `check_json`; there is exactly one value.

    Raises:
        ItemProblem: one of them, or the bytes aren't one value of msgpack.
    """
    try:
        msgpack.unpackb(data, raw=False, object_hook=_seen, ext_hook=_no_extension, strict_map_key=True)
    except ItemProblem:
        raise
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise ItemProblem(f"is no msgpack: {type(error).__name__}") from error


def _seen(item: dict[str, Any]) -> None:
    """Leaves nothing of a dict, so that one inside another isn't taken for a picture's text."""
    check_item(item)


def _no_extension(code: int, _: Any) -> None:
    raise ItemProblem(f"holds an extension of msgpack, {code}")
