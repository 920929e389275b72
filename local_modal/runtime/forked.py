"""What of a Python process doesn't come through a fork by itself: event loops, threads, random numbers, output buffers.

Standard library only (and modal's own event loop): runs in the image's interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import random
import selectors
import sys
import threading
from typing import Any, NoReturn

from .memory import give_back


def quieten(loop: asyncio.AbstractEventLoop) -> None:
    """Makes the process ready to be forked: one thread, nothing half done, no memory that it has no use for."""
    park(loop)
    warn_of_threads()
    flush()
    gc.collect()
    gc.freeze()
    give_back()


def park(loop: asyncio.AbstractEventLoop) -> None:
    """Stops the loop's thread inside a callback, where it holds no lock: the fork then has nothing half done."""
    parked, never = threading.Event(), threading.Event()

    def wait() -> None:
        parked.set()
        never.wait()

    loop.call_soon_threadsafe(wait)
    parked.wait()


def revive(loop: Any) -> None:
    """Runs a parked loop on a new thread, in a fork where its old thread doesn't exist."""
    synchronizer = importlib.import_module("modal._utils.async_utils").synchronizer
    loop._thread_id = None
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    synchronizer._loop, synchronizer._thread, synchronizer._owner_pid = loop, thread, os.getpid()
    thread.start()


def renew(loop: Any) -> set[int]:
    """A selector and a self-pipe of its own for a loop that came through a fork; returns their descriptors.

    The old selector is closed, not emptied: it is shared with the parent, which still uses it.
    """
    loop._selector.close()
    loop._selector = selectors.DefaultSelector()
    loop._ssock.close()
    loop._csock.close()
    loop._ssock = loop._csock = None
    loop._internal_fds -= 1
    loop._make_self_pipe()
    loop._default_executor = None
    return {loop._selector.fileno(), loop._ssock.fileno(), loop._csock.fileno()}


def reseed() -> None:
    """Forks must not draw the same random numbers."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.default_generator.seed()


def warn_of_threads() -> None:
    """Threads of the snapshot phase don't come through the fork, here or on Modal."""
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if len(names) > 1:
        sys.stderr.write(f"local Modal: threads started before the snapshot end with it: {', '.join(names[1:])}\n")


def leave(code: int) -> NoReturn:
    """Ends the process at once, with what was printed written out."""
    flush()
    os._exit(code)


def flush() -> None:
    """Half a line that was printed before a fork must not be printed by every fork."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
