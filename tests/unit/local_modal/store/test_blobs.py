"""Blobs."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local_modal.errors import LocalModalError
from local_modal.store.blobs import Blobs


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_an_uploaded_blob_is_read_back_whole(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs", 100, 60, 1000)
    blob_id, key = blobs.reserve(6)
    assert blobs.path(blob_id) is None
    assert await blobs.write(blob_id, chunks(b"abc", b"def")) == hashlib.md5(b"abcdef").hexdigest()  # noqa: S324
    assert await blobs.read(blob_id) == b"abcdef"
    assert blobs.opens(blob_id, key)
    assert not blobs.opens(blob_id, key + "x")
    assert not blobs.opens("bl-other", key)


@pytest.mark.parametrize("parts", [(b"1234567",), (b"12345",), (b"1234", b"5678")])
async def test_more_or_less_than_announced_is_refused_and_leaves_nothing(
    tmp_path: Path, parts: tuple[bytes, ...]
) -> None:
    blobs = Blobs(tmp_path / "blobs", 100, 60, 1000)
    blob_id, _ = blobs.reserve(6)
    with pytest.raises(LocalModalError, match="6 bytes"):
        await blobs.write(blob_id, chunks(*parts))
    assert await blobs.read(blob_id) is None
    assert list((tmp_path / "blobs").iterdir()) == []


@pytest.mark.parametrize("size", [101, -1])
def test_a_size_over_the_limit_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(LocalModalError, match="100 bytes"):
        Blobs(tmp_path / "blobs", 100, 60, 1000).reserve(size)


async def test_all_together_are_bounded_until_their_time_is_over(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs", 100, 60, 150)
    blobs.reserve(100)
    with pytest.raises(LocalModalError, match=r"100 bytes and 51 more .* 150 bytes \(LOCAL_MODAL_MAX_BLOBS_MIB"):
        blobs.reserve(51)
    blobs.reserve(50)
    short = Blobs(tmp_path / "short", 100, 0, 150)
    short.reserve(100)
    short.reserve(100)


async def test_a_blob_goes_when_its_time_is_over(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs", 100, 0, 1000)
    blob_id, _ = blobs.reserve(1)
    await blobs.write(blob_id, chunks(b"x"))
    blobs.reserve(1)
    assert blobs.path(blob_id) is None
    assert not (tmp_path / "blobs" / blob_id).exists()


def test_a_result_is_there_until_it_is_dropped_and_counts_until_then(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs", 100, 60, 150)
    blob_id = blobs.hold(b"x" * 100)
    assert blobs.result(blob_id) == b"x" * 100
    assert blobs.key(blob_id)
    with pytest.raises(LocalModalError, match="100 bytes and 51 more"):
        blobs.hold(b"x" * 51)
    blobs.drop(blob_id)
    assert blobs.result(blob_id) is None
    assert blobs.key(blob_id) is None
    blobs.drop(blob_id)
    assert blobs.hold(b"x" * 51)


def test_a_blob_that_is_not_uploaded_has_no_address_to_fetch(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs", 100, 60, 1000)
    blob_id, _ = blobs.reserve(1)
    assert blobs.key(blob_id) is None
