"""Messages over WebSocket, one msgpack map each, and the pieces that a large one is sent in.

A message of more than 1 MiB comes as a map {"_chunked": n} and n binary frames of 1 MiB at most; that is the client's
form (`_split_ws_frames`, `_recv_reassembled` in modal_executor.py), both ways.
"""

from typing import Any

import msgpack

from modal_app.gateway.problems import Problem, bad_request
from modal_app.gateway.service import MESSAGE_BYTES

FRAME_BYTES = 1024 * 1024
MAX_CHUNKS = 1024
CONTROL_BYTES = 64
"""A control message is smaller than this."""
MAX_FIELDS = 32


def pack(**fields: Any) -> bytes:
    """A small message."""
    packed: bytes = msgpack.packb(fields, use_bin_type=True)
    return packed


def split(message: bytes) -> list[bytes]:
    """The frames that `message` is sent in."""
    if len(message) <= FRAME_BYTES:
        return [message]
    pieces = [message[begin : begin + FRAME_BYTES] for begin in range(0, len(message), FRAME_BYTES)]
    return [pack(_chunked=len(pieces)), *pieces]


def read(message: bytes) -> dict[str, Any]:
    """The fields of a message; `inputs` stays the bytes that it is.

    Raises:
        Problem: it is not one map with texts as keys, and nothing else.
    """
    unpacker = msgpack.Unpacker(raw=False, max_buffer_size=max(1, len(message)), ext_hook=_no_extension)
    try:
        unpacker.feed(message)
        count = unpacker.read_map_header()
        if count > MAX_FIELDS:
            raise bad_request("the message has too many fields")
        fields: dict[str, Any] = {}
        for _ in range(count):
            name = unpacker.unpack()
            if type(name) is not str or name in fields:
                raise bad_request("the message has a key that is no text, or one twice")
            begin = unpacker.tell()
            if name == "inputs":
                unpacker.skip()
                fields[name] = message[begin : unpacker.tell()]
            else:
                fields[name] = unpacker.unpack()
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise bad_request("the message is not a map in msgpack") from error
    if unpacker.tell() != len(message):
        raise bad_request("something follows the message")
    return fields


def chunks(fields: dict[str, Any]) -> int:
    """How many frames the message announced by `fields` has.

    Raises:
        Problem: not a number of them that a message can have.
    """
    count = fields["_chunked"]
    if type(count) is not int or not 1 <= count <= MAX_CHUNKS:
        raise bad_request("_chunked is not a number of frames")
    return count


def check_size(size: int) -> None:
    """Checks how much of a message has come.

    Raises:
        Problem: more than a message may have.
    """
    if size > MESSAGE_BYTES:
        raise Problem("RequestTooLarge", f"the message has more than {MESSAGE_BYTES:,} bytes", 413)


def _no_extension(code: int, _: Any) -> None:
    raise ValueError(f"extension {code}")
