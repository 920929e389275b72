"""Many workspaces at once, for a while: every call gets its own result from a container that has run nothing before.

Not part of `make test`; `make load` runs it. TEST_SECONDS says for how long, TEST_WORKSPACES and TEST_THREADS how many.
"""

import os
import statistics
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.memory import megabytes
from tests.load.calling import deployed, read, start_client
from tests.load.client import RESULT

SECONDS = float(os.environ.get("TEST_SECONDS", "60"))
WORKSPACES = int(os.environ.get("TEST_WORKSPACES", "50"))
THREADS = int(os.environ.get("TEST_THREADS", "8"))
END_SECONDS = 120
"""For the calls that run when the time is over."""

pytestmark = pytest.mark.timeout(SECONDS + 900)


def test_no_call_fails_and_none_gets_what_is_another_ones(tmp_path: Path) -> None:
    plane = deployed(tmp_path / "modal")
    try:
        pid = int(str(plane.status()["pid"]))
        with start_client(plane.client_env(), seconds=SECONDS, workspaces=WORKSPACES, threads=THREADS) as client:
            output, _ = client.communicate(timeout=SECONDS + END_SECONDS)
        memory = megabytes(pid)
    finally:
        plane.run("stop")
    calls = [read(line) for line in output.splitlines()]
    assert client.returncode == 0
    assert calls
    each = Counter(call.workspace for call in calls)
    times = statistics.quantiles((1000 * call.seconds for call in calls), n=20)
    failed = [call for call in calls if call.end != RESULT]
    sys.stdout.write(
        f"\n{len(calls)} calls of {len(each)} workspaces by {THREADS} threads in {SECONDS:g} s, {len(failed)} failed: "
        f"{len(calls) / SECONDS:.1f} a second, half within {times[9]:.0f} ms, 95 % within {times[18]:.0f} ms, "
        f"the longest {1000 * max(call.seconds for call in calls):.0f} ms; {memory:.0f} MB afterwards\n"
    )
    assert failed == []
    assert len(each) == WORKSPACES, "each of them called"
