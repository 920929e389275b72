"""What a server does with memory that it has freed: keeps it, within a bound, for the next image.

glibc gives large blocks back to the kernel when they are freed, and has every page of the next ones filled with zeros.
An argument of some MB passes several hands in Modal's client; each time, that costs more than the copying.
"""

import ctypes

KEPT_BYTES = 64 << 20
"""Kept of what was freed (bytes)."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 << 20


def keep_freed_memory() -> None:
    """From now on, where the C library knows how (glibc does)."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
