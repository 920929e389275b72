"""Processes of local Modal are killed at random while many workspaces call: every call ends, and nothing is left.

A call ends with its result or with the engine's own exception, within its limits; the calls after that succeed. Not
part of `make test`; `make chaos` runs it. TEST_SECONDS says for how long, TEST_SEED repeats a run's choices.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.contract.conftest import LocalModal
from tests.load.calling import deployed, descendants, read, start_client
from tests.load.client import REFUSED, RESULT, Call

SECONDS = float(os.environ.get("TEST_SECONDS", "60"))
SEED = int(os.environ.get("TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
WORKSPACES, THREADS, WORK_SECONDS = 20, 4, 0.2
PAUSE_SECONDS = 0.5, 3.0
"""Between two kills."""
CONTROL_PLANE_EVERY = 5
"""Of so many kills one is the control plane's; the others are of containers, snapshots and what starts them."""
LIMITS = {
    "CUSTOM_BLOCKS_TIMEOUT_SECONDS": "5",
    "CUSTOM_BLOCKS_STARTUP_TIMEOUT_SECONDS": "60",
    "CUSTOM_BLOCKS_CALL_GRACE_SECONDS": "10",
    "CUSTOM_BLOCKS_STEP_SECONDS": "20",
}
LONGEST_SECONDS = 5 + 60 + 10 + 3 * 20
"""A call may take its run, its container's start and the grace, after steps: connecting, looking up, handing over."""
AFTER_SECONDS = 5.0

pytestmark = pytest.mark.timeout(SECONDS + 900)


class Killer:
    """Kills, and remembers every process that there was."""

    def __init__(self, plane: LocalModal) -> None:
        self.kills: Counter[str] = Counter()
        self.seen: set[tuple[int, str]] = set()
        self._plane = plane
        self._random = random.Random(SEED)  # noqa: S311 - to be repeated, not to be secret

    def run(self, until: float) -> None:
        while time.monotonic() < until:
            time.sleep(self._random.uniform(*PAUSE_SECONDS))
            self.kill()

    def kill(self) -> None:
        pid = int(str(self._plane.status()["pid"]))
        family = descendants(pid)
        self.seen |= {(each, begin) for each in [pid, *family] if (begin := started(each))}
        if not family:
            return  # nothing was started yet
        if self.kills.total() % CONTROL_PLANE_EVERY == CONTROL_PLANE_EVERY - 1:
            os.kill(pid, signal.SIGKILL)
            self.kills["control plane"] += 1
            self._plane.start()
            return
        chosen = self._random.choice(family)
        name = "with processes of its own" if descendants(chosen) else "without"
        try:
            os.kill(chosen, signal.SIGKILL)
            self.kills[name] += 1
        except ProcessLookupError:
            return  # a container that has ended meanwhile

    def left(self) -> list[int]:
        """Processes that are still there."""
        return [pid for pid, begin in self.seen if started(pid) == begin]


def started(pid: int) -> str:
    """When it started, by which it is told from another one of its number; empty where it is gone."""
    try:
        *_, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return ""
    state, *rest = fields.split()
    return "" if state in "ZX" else rest[18]


def test_every_call_ends_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    plane = deployed(tmp_path / "modal", port, **LIMITS)
    try:
        killer = Killer(plane)
        variables = {**plane.client_env(), **LIMITS}
        options = {"workspaces": WORKSPACES, "threads": THREADS, "work": WORK_SECONDS}
        with start_client(variables, seconds=SECONDS, **options) as client:
            assert client.stdout
            calls = [read(client.stdout.readline())]
            killing = threading.Thread(target=killer.run, args=(time.monotonic() + SECONDS,))
            killing.start()
            output, _ = client.communicate(timeout=SECONDS + LONGEST_SECONDS)
            killing.join()
        calls += [read(line) for line in output.splitlines()]
        after = calls_of(start_client(variables, seconds=AFTER_SECONDS, **options))
        killer.seen |= {(each, started(each)) for each in descendants(int(str(plane.status()["pid"])))}
    finally:
        plane.run("stop")
    ends, reasons = Counter(call.end for call in calls), Counter(call.text for call in calls if call.text)
    longest = max(call.seconds for call in calls)
    sys.stdout.write(
        f"\nseed {SEED}: {killer.kills.total()} kills {dict(killer.kills)}, {len(calls)} calls {dict(ends)}, "
        f"the longest {longest:.1f} s of {LONGEST_SECONDS}; afterwards {dict(Counter(call.end for call in after))}\n"
    )
    for reason, count in reasons.most_common():
        sys.stdout.write(f"{count:5} {reason}\n")
    assert client.returncode == 0
    assert killer.kills.total() > 0
    assert set(ends) <= {RESULT, REFUSED}, reasons
    assert ends[RESULT] > 0
    assert longest <= LONGEST_SECONDS
    assert {call.end for call in after} == {RESULT}, after
    wait_until_gone(killer)
    assert not list((plane.home / "run").iterdir())


def calls_of(client: subprocess.Popen[str]) -> list[Call]:
    """What becomes of a client's calls when nothing is killed."""
    output, _ = client.communicate(timeout=AFTER_SECONDS + LONGEST_SECONDS)
    return [read(line) for line in output.splitlines()]


def wait_until_gone(killer: Killer, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while left := killer.left():
        assert time.monotonic() < end, f"still there: {left}"
        time.sleep(0.05)
