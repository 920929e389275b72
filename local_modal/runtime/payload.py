"""A container's argument and its answer in memory that it shares with the control plane: HTTP/2 in Python is slow.

One memory file for each container that has one input in its life. The control plane writes the argument, and the
container writes its answer over it; a message says where blobs would stand that it is there, and how long it is.
Nobody maps the file, so that nothing the other side does to it hurts: what is taken of it is a copy.

Standard library only: also runs in the image's interpreter.
"""

from __future__ import annotations

import os
import re

INLINE_BYTES = 128 << 10
"""What is no larger travels inside its message."""
_REFERENCE = re.compile(r"payload:(\d{1,12})", re.ASCII)


class PayloadError(Exception):
    """What a message refers to isn't there."""


class Payload:
    """One side's descriptor of the file."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> Payload:
        """A new one, empty."""
        return cls(os.memfd_create("payload"))

    def put(self, data: bytes) -> str:
        """Writes data over what there is; returns the reference to it.

        Raises:
            OSError: it doesn't fit (a container's `file_bytes`), or there is no memory for it.
        """
        left, position = memoryview(data), 0
        while left:
            written = os.pwrite(self.descriptor, left, position)
            left, position = left[written:], position + written
        return f"payload:{len(data)}"

    def take(self, reference: str, most: int) -> bytes:
        """What the other side has put there.

        Raises:
            PayloadError: the reference is none, or promises more than `most` bytes or than there are.
        """
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            raise PayloadError(f"{reference[:64]!r} refers to no payload")
        size = int(found[1])
        if size > most:
            raise PayloadError(f"{size} bytes are over the limit of {most} bytes")
        there = os.fstat(self.descriptor).st_size
        if size > there:
            raise PayloadError(f"of a payload of {size} bytes there are {there}")
        pieces, position = [], 0
        while position < size and (piece := os.pread(self.descriptor, size - position, position)):
            pieces.append(piece)
            position += len(piece)
        if position < size:
            raise PayloadError(f"of a payload of {size} bytes there are {position}")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Lets go of it."""
        os.close(self.descriptor)
