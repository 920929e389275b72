"""What is given back: pages that are as in their files; never a page that was written to."""

import ctypes
import mmap
import re
from pathlib import Path

import pytest

from local_modal.runtime.memory import give_back, in_files

from .conftest import Host, tree_of

SIZE = 4 * mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


@pytest.fixture
def mapped(tmp_path: Path) -> int:
    """Address of a private mapping of a file, which may be written."""
    path = tmp_path / "mapped"
    path.write_bytes(b"f" * SIZE)
    with path.open("rb") as file:
        address: int = libc.mmap(None, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, file.fileno(), 0)
    assert ctypes.string_at(address, SIZE) == b"f" * SIZE
    return address


def found(address: int) -> bool:
    return (address, SIZE) in set(in_files(Path("/proc/self/smaps").read_text()))


def test_a_file_that_is_only_read_is_given_back_and_can_be_read_again(mapped: int) -> None:
    assert not found(mapped)
    libc.mprotect(mapped, SIZE, mmap.PROT_READ)
    assert found(mapped)
    give_back()
    assert ctypes.string_at(mapped, SIZE) == b"f" * SIZE


def test_what_was_written_before_it_became_read_only_is_kept(mapped: int) -> None:
    ctypes.memset(mapped, ord("w"), 1)
    libc.mprotect(mapped, SIZE, mmap.PROT_READ)
    assert not found(mapped)
    give_back()
    assert ctypes.string_at(mapped, 2) == b"wf"


def test_memory_of_no_file_is_kept() -> None:
    address = libc.mmap(None, SIZE, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    assert not found(address)


async def test_a_snapshot_has_no_library_in_memory_that_it_imported_and_containers_still_use_it(host: Host) -> None:
    guest = host.folder / "guest.py"
    guest.write_text("import numpy\n" + guest.read_text())
    zygote = await host.zygote()
    (stem,) = tree_of(zygote)[2:]
    code = re.findall(
        r" r-xp .*/_multiarray_umath.*\nSize: .*\n.*\n.*\nRss: +(\d+) kB", Path(f"/proc/{stem}/smaps").read_text()
    )
    assert code == ["0"]
    answer = await host.run(zygote, "import numpy; result = int(numpy.arange(10).reshape(2, 5).sum())")
    assert answer == {"result": 45}
