"""A file backend as the Pulumi CLI lays it out: who holds a stack, and what an interrupted run left.

Locks are `.pulumi/locks/organization/<project>/<stack>/<uuid>.json`, checkpoints
`.pulumi/stacks/<project>/<stack>.json` (backend/diy of the CLI, since 3.61).
"""

import json
import os
import socket
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from infra.converge.errors import ConvergeError

START_FIELD = 18
"""Of /proc/<pid>/stat, counted after the state: when the process started, in clock ticks since boot (proc(5))."""
CLOCK_SECONDS = 2.0
"""How far the kernel's account of a start may lie behind the wall clock."""


class Holder(Enum):
    """What is known of the process that a lock names."""

    LIVE = "a process of this machine that runs"
    DEAD = "a process of this machine that is gone"
    ELSEWHERE = "a process of another machine"


@dataclass(frozen=True)
class Lock:
    """A lock on a stack, as the file says."""

    path: Path
    pid: int
    hostname: str
    username: str
    since: str

    @property
    def holder(self) -> Holder:
        if self.hostname != socket.gethostname():
            return Holder.ELSEWHERE
        return Holder.LIVE if _runs(self.pid, self.since) else Holder.DEAD

    def __str__(self) -> str:
        since = datetime.fromisoformat(self.since).astimezone()
        return f"pid {self.pid} of {self.username}@{self.hostname}, since {since:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True)
class FileBackend:
    """One stack in a file backend."""

    folder: Path
    project: str
    stack: str

    def locks(self) -> list[Lock]:
        """The locks on the stack; more than one only for the moment in which two deployments meet.

        Raises:
            ConvergeError: one can't be read.
        """
        folder = self.folder / ".pulumi" / "locks" / "organization" / self.project / self.stack
        found = (_read(path) for path in sorted(folder.glob("*.json")))
        return [lock for lock in found if lock]

    def latest(self) -> dict[str, Any] | None:
        """The deployment that the checkpoint holds: `resources`, `pending_operations`; None where there is none."""
        path = self.folder / ".pulumi" / "stacks" / self.project / f"{self.stack}.json"
        try:
            latest = json.loads(path.read_text("utf-8"))["checkpoint"].get("latest") or {}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ConvergeError(f"{path} is no checkpoint of Pulumi's: {error!r}") from None
        if not isinstance(latest, dict):
            raise ConvergeError(f"{path} is no checkpoint of Pulumi's")
        return latest


def _read(path: Path) -> Lock | None:
    try:
        content = json.loads(path.read_text("utf-8"))
        datetime.fromisoformat(content["timestamp"])
        return Lock(path, int(content["pid"]), content["hostname"], content["username"], content["timestamp"])
    except FileNotFoundError:
        return None  # released between the listing and now
    except (ValueError, KeyError, TypeError) as error:
        raise ConvergeError(f"{path} is no lock of Pulumi's ({error!r}): remove it if no deployment runs") from None


def _runs(pid: int, since: str) -> bool:
    """Whether the process is there and was when the lock was taken: numbers are given anew."""
    try:
        *_, fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")
        state, *rest = fields.split()
        started = _booted() + int(rest[START_FIELD]) / os.sysconf("SC_CLK_TCK")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX" and started <= datetime.fromisoformat(since).timestamp() + CLOCK_SECONDS


def _booted() -> float:
    lines = Path("/proc/stat").read_text("utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("btime "))
