"""What a snapshot's process gives back of its memory before it waits to be forked: pages that files still have.

Standard library only: runs in the image's interpreter.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

_READ_ONLY_FILE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ [1-9]\d* .*\n((?:[A-Z].*\n)+)", re.MULTILINE)
"""A mapping and its fields in /proc/<pid>/smaps: private, not writable, of a file (its inode isn't 0)."""
_PAGES_OF_ITS_OWN = re.compile(r"^(?:Anonymous|Swap): +[1-9]\d* kB$", re.MULTILINE)


def give_back() -> None:
    """Unmaps what is in files as it was mapped; who reads it again has it from the page cache.

    Containers are no slower for it: a fork copies no page table entries of such mappings.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for start, size in in_files(Path("/proc/self/smaps").read_text()):
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.MADV_DONTNEED)


def in_files(smaps: str) -> Iterator[tuple[int, int]]:
    """Start and size (bytes) of mappings whose every page is as in its file.

    Not being writable isn't enough: the linker writes relocations first, and takes the right to write away then.
    """
    for found in _READ_ONLY_FILE.finditer(smaps):
        if not _PAGES_OF_ITS_OWN.search(found[3]):
            start = int(found[1], 16)
            yield start, int(found[2], 16) - start
