"""Native, WebSocket, HTTP and Session side by side, beside a bare stub: `python -m benchmarks.doors`.

The stub answers the same frames at once, so that what is above it is ours, not the client's. Times are from the call in
the server to the decoded result, with both encodings.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.planes import ROOT, Plane, plane, run
from benchmarks.statistics import Times
from modal_app.settings import APP_NAME, DOORS
from modal_app.smoke.environment import SERVER

PREFORK = 2
ROUNDS = {"tiny": 40, "in": 15, "in and out": 15}
"""Calls of each door (count)."""
TITLES = {
    "tiny": "a tiny block",
    "in": "an image of 1920x1080 into a block",
    "in and out": "an image of 1920x1080 into a block and back",
}
CLIENT_SECONDS = 600
SESSION_GOAL_RATIO, WEBSOCKET_GOAL_MS = 5.0, 5.0
CREDENTIALS = """
import modal
token = modal.Workspace.from_context().proxy_tokens.create("benchmark")
print(token.token_id, token.token_secret)
"""
ADDRESSES = """
import json, sys, modal
app, doors = json.loads(sys.argv[1])
found = {}
for door, name in doors.items():
    cls, method = name.split(".")
    parameters = {"workspace_id": "any"} if door == "session" else {}
    found[door] = getattr(modal.Cls.from_name(app, cls)(**parameters), method).get_web_url().split("?")[0]
print(json.dumps(found))
"""


@contextmanager
def stub() -> Iterator[str]:
    """The address of a running stub."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.stub"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def measure(running: Plane) -> dict[str, dict[str, Times]]:
    """Times by case and door."""
    found = run([sys.executable, "-c", ADDRESSES, json.dumps([APP_NAME, DOORS])], running.variables, CLIENT_SECONDS)
    token_id, secret = run([sys.executable, "-c", CREDENTIALS], running.variables, CLIENT_SECONDS).split()
    with stub() as address:
        given = {
            "addresses": {**json.loads(found), "stub": address},
            "token": {"id": token_id, "secret": secret},
            "rounds": ROUNDS,
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.door_client"],
            cwd=ROOT,
            env={**os.environ, **running.variables, **SERVER},
            input=json.dumps(given),
            text=True,
            capture_output=True,
            check=False,
            timeout=CLIENT_SECONDS,
        )
    if done.returncode:
        raise RuntimeError(f"the doors' client failed:\n{done.stderr[-4000:]}")
    times: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {case: {door: Times.of(each) for door, each in doors.items()} for case, doors in times.items()}


def report(measured: dict[str, dict[str, Times]]) -> None:
    """A table for each case, and the goals."""
    for case, doors in measured.items():
        print(f"\n{TITLES[case]}")
        for door, times in doors.items():
            beside = (
                f"{times.p50 / doors['stub'].p50:5.1f} x the stub, {times.p50 - doors['native'].p50:+7.1f} ms to native"
            )
            print(f"  {door:<10} {times}   {beside}")
    tiny = measured["tiny"]
    goal("Session, a tiny block, to the stub", tiny["session"].p50 / tiny["stub"].p50, SESSION_GOAL_RATIO, "x")
    goal("WebSocket, a tiny block, over native", tiny["websocket"].p50 - tiny["native"].p50, WEBSOCKET_GOAL_MS, "ms")
    for case in ("in", "in and out"):
        native = measured[case]["native"].p50
        for door in DOORS:
            goal(f"native over {door}, {TITLES[case]}", native - measured[case][door].p50, 0.0, "ms")


def goal(what: str, value: float, limit: float, unit: str) -> None:
    """A figure beside its goal."""
    print(f"  {what}: {value:.1f} {unit}   goal {limit:g}: {'met' if value <= limit else 'MISSED'}")


def main() -> int:
    """Measures on a control plane of its own."""
    argparse.ArgumentParser("python -m benchmarks.doors", description=(__doc__ or "").partition(":")[0]).parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with plane(prefork=PREFORK) as running:
        running.deploy("-m", "modal_app.app")
        report(measure(running))
    return 0


if __name__ == "__main__":
    sys.exit(main())
