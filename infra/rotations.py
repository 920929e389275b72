"""How often this machine rotated the tokens of the local stack, counted beside its state: its file is everyone's.

Any other stack counts in its own file (key `rotation`), which all who deploy it share. The program adds the two up, so
that a plain `pulumi up` makes what the make targets make.
"""

import os
from pathlib import Path

from infra.credentials import LOCAL_STACK


class RotationsError(ValueError):
    """The count can't be read; the message says what to do."""


def rotations(stack: str, home: Path) -> int:
    """Rotations of `stack` that were counted in `home`, 0 where none were.

    Raises:
        RotationsError: something else than a count is there.
    """
    path = _path(stack, home)
    try:
        return int(path.read_text("utf-8")) if stack == LOCAL_STACK else 0
    except FileNotFoundError:
        return 0
    except (OSError, ValueError):
        raise RotationsError(
            f"{path} holds no count of rotations: remove it, which makes the first tokens anew"
        ) from None


def count_rotation(stack: str, home: Path) -> int:
    """Counts one more; gives how many there are now."""
    path = _path(stack, home)
    count = rotations(stack, home) + 1
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(f"{count}\n", "utf-8")
    part.replace(path)
    return count


def _path(stack: str, home: Path) -> Path:
    return home / f"{stack}.rotations"
