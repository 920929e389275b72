"""Uploaded files, mounts and their layouts."""

import hashlib
from pathlib import Path

import pytest
from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.store.database import Database
from local_modal.store.files import Mounts


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return Mounts(Database(tmp_path / "store"), tmp_path)


def put(mounts: Mounts, name: str, data: bytes, mode: int = 0o644) -> api_pb2.MountFile:
    sha256_hex = hashlib.sha256(data).hexdigest()
    mounts.put(sha256_hex, data)
    return api_pb2.MountFile(filename=name, sha256_hex=sha256_hex, mode=mode)


def test_the_same_files_are_the_same_mount_in_whatever_order(mounts: Mounts) -> None:
    files = [put(mounts, "/root/a.py", b"a"), put(mounts, "/root/b.py", b"b")]
    assert mounts.create(files) == mounts.create(files[::-1])
    assert mounts.create(files[:1]) != mounts.create(files)


def test_a_layout_has_the_files_of_all_mounts_at_their_paths(mounts: Mounts) -> None:
    first = mounts.create([put(mounts, "/root/pkg/a.py", b"a"), put(mounts, "/root/tool", b"t", 0o755)])
    second = mounts.create([put(mounts, "/root/pkg/b.py", b"b")])
    layout = mounts.layout([first, second])
    assert (layout / "root/pkg/a.py").read_bytes() == b"a"
    assert (layout / "root/pkg/b.py").read_bytes() == b"b"
    assert (layout / "root/tool").stat().st_mode & 0o777 == 0o755
    assert mounts.layout([second, first]) == layout


def test_content_that_is_not_what_its_hash_says_is_refused(mounts: Mounts) -> None:
    with pytest.raises(LocalModalError, match="SHA-256"):
        mounts.put(hashlib.sha256(b"a").hexdigest(), b"b")


@pytest.mark.parametrize("sha256_hex", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_a_hash_that_is_none_never_becomes_a_path(mounts: Mounts, sha256_hex: str) -> None:
    with pytest.raises(LocalModalError, match="SHA-256"):
        mounts.has(sha256_hex)


@pytest.mark.parametrize(
    "name", ["relative.py", "/root/../etc/passwd", "/root/a\0.py", "/file", "/etc/passwd", "/usr/lib/x"]
)
def test_a_name_outside_the_places_for_files_is_refused(mounts: Mounts, name: str) -> None:
    with pytest.raises(LocalModalError):
        mounts.create([put(mounts, name, b"x")])


def test_a_file_that_was_not_uploaded_is_named(mounts: Mounts) -> None:
    with pytest.raises(LocalModalError, match=r"/root/a\.py was not uploaded"):
        mounts.create([api_pb2.MountFile(filename="/root/a.py", sha256_hex="0" * 64)])
