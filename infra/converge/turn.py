"""One deployment at a time: a lock that the kernel drops with its process, with the name of who has it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from infra.converge.errors import HELD, ConvergeError


@contextmanager
def turn(path: Path, what: str) -> Iterator[None]:
    """Holds `path` for `what`.

    Raises:
        ConvergeError: another process holds it; says which and since when.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConvergeError(
                f"{file.read().strip() or what + ' by another process'}: wait for it, or end it", HELD
            ) from None
        file.truncate(0)
        file.write(f"{what} by pid {os.getpid()}, since {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}\n")
        file.flush()
        yield
