"""How much is measured."""

WORKSPACES = 20
UNSHARED_WORKSPACES = 3
"""Where each has a snapshot of its own, which takes seconds and half a gigabyte."""
PAUSE_SECONDS = 0.15
"""Between single calls, so that one doesn't wait for the end of the container before it."""
SETTLE_SECONDS = 2.0
"""Before memory is read: until spares are there again."""
LATENCY_CALLS = 100
THROUGHPUT_CALLS = 200
THREADS = 4
IMAGE_CALLS = 20
IMPORTS = 3
JPEG_QUALITY = 95
"""What the released server's own executor sends images with."""
