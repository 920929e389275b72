"""What this process does with memory that it has freed: keeps it, within a bound, for the next large message.

glibc gives a large block back to the kernel as soon as it is freed, and has every page of the next one filled with
zeros. Of a message of some MB that passes several hands that costs more than all copying.
"""

import ctypes

KEPT_BYTES = 64 << 20
"""Kept of what was freed; more goes back to the kernel (bytes)."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 << 20
"""glibc takes no larger one (DEFAULT_MMAP_THRESHOLD_MAX)."""


def keep_freed_memory() -> None:
    """From now on, where the C library knows how (glibc does)."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
