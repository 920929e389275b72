"""Blobs: large arguments, uploaded by a plain HTTP PUT, and large results, fetched by a GET."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

from local_modal.errors import LocalModalError
from local_modal.ids import new_id


class Blobs:
    """A blob's address carries a key of its own; blobs go when their time is over."""

    def __init__(self, folder: Path, max_bytes: int, ttl: float, total_bytes: int) -> None:
        """Start empty: a blob outlives neither its call nor the control plane. `total_bytes`: of all at once."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._ttl = ttl
        self._total_bytes = total_bytes
        self._keys: dict[str, tuple[str, int, float]] = {}
        self._results: dict[str, bytes] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            left.unlink()

    def reserve(self, size: int) -> tuple[str, str]:
        """A new blob's id and the key of its address.

        Raises:
            LocalModalError: when it, or all together, are larger than the settings allow.
        """
        if not 0 <= size <= self._max_bytes:
            raise LocalModalError(
                f"{size} bytes are over the limit of {self._max_bytes} bytes (LOCAL_MODAL_MAX_INPUT_BYTES)"
            )
        self._expire()
        kept = sum(kept for _, kept, _ in self._keys.values())
        if kept + size > self._total_bytes:
            raise LocalModalError(
                f"uploads of the last {self._ttl:g} s are full: {kept} bytes and {size} more are over the limit of "
                f"{self._total_bytes} bytes (LOCAL_MODAL_MAX_BLOBS_MIB, kept for LOCAL_MODAL_BLOB_TTL)"
            )
        blob_id, key = new_id("bl"), secrets.token_urlsafe(24)
        self._keys[blob_id] = (key, size, time.monotonic() + self._ttl)
        return blob_id, key

    def key(self, blob_id: str) -> str | None:
        """The key of the address of a blob that can be fetched, None where there is no such blob."""
        there = blob_id in self._results or self.path(blob_id) is not None
        return self._keys[blob_id][0] if there else None

    def opens(self, blob_id: str, key: str) -> bool:
        """Whether the key is the blob's."""
        entry = self._keys.get(blob_id)
        return entry is not None and secrets.compare_digest(entry[0].encode(), key.encode())

    async def write(self, blob_id: str, chunks: AsyncIterator[bytes]) -> str:
        """Take an upload, never more than was announced; returns the MD5 in hexadecimal, which the client compares.

        Raises:
            LocalModalError: other than the announced size came.
        """
        md5 = hashlib.md5(usedforsecurity=False)
        _, size, _ = self._keys[blob_id]
        partial, left = self._folder / f".{blob_id}", size
        try:
            with partial.open("wb") as file:
                async for chunk in chunks:
                    left -= len(chunk)
                    if left < 0:
                        raise LocalModalError(f"more than the {size} bytes that were announced")
                    md5.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
            if left:
                raise LocalModalError(f"{size - left} of {size} bytes arrived")
            partial.rename(self._folder / blob_id)
            return md5.hexdigest()
        finally:
            partial.unlink(missing_ok=True)

    def path(self, blob_id: str) -> Path | None:
        """The blob's file, once it is uploaded."""
        path = self._folder / blob_id
        return path if blob_id in self._keys and path.exists() else None

    async def read(self, blob_id: str) -> bytes | None:
        """The whole blob."""
        path = self.path(blob_id)
        return await asyncio.to_thread(path.read_bytes) if path else None

    def hold(self, data: bytes) -> str:
        """A result as a blob, in memory until its caller has fetched it; returns its id.

        Raises:
            LocalModalError: as `reserve`.
        """
        blob_id, _ = self.reserve(len(data))
        self._results[blob_id] = data
        return blob_id

    def result(self, blob_id: str) -> bytes | None:
        """What is held."""
        return self._results.get(blob_id)

    def drop(self, blob_id: str) -> None:
        """Its time is over, or its caller has it."""
        self._keys.pop(blob_id, None)
        if self._results.pop(blob_id, None) is None:
            (self._folder / blob_id).unlink(missing_ok=True)

    def _expire(self) -> None:
        now = time.monotonic()
        for blob_id in [blob_id for blob_id, (_, _, end) in self._keys.items() if end < now]:
            self.drop(blob_id)
