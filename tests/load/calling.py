"""Starts the clients of the tests under load, and reads what became of their calls."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from modal_app.smoke.environment import SERVER
from tests.contract.conftest import ROOT, LocalModal
from tests.load.client import Call

DEPLOY_SECONDS = 600
"""The first deployment of a machine builds the image."""


def deployed(home: Path, port: int = 0, **settings: str) -> LocalModal:
    """A control plane that runs, with the app deployed; `settings` are the app's."""
    plane = LocalModal(home, {"LOCAL_MODAL_PORT": str(port)})
    plane.start()
    done = subprocess.run(
        [sys.executable, "-m", "modal", "deploy", "-m", "modal_app.app"],
        cwd=ROOT,
        env={**os.environ, **plane.client_env(), **settings},
        text=True,
        capture_output=True,
        check=False,
        timeout=DEPLOY_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return plane


def start_client(variables: Mapping[str, str], **options: float) -> subprocess.Popen[str]:
    """A client that prints its calls."""
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.load.client", *arguments],
        cwd=ROOT,
        env={**os.environ, **SERVER, **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def read(line: str) -> Call:
    """A call, of the line that says what became of it."""
    return Call(**json.loads(line))


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = thread.read_text().split()
        except OSError:
            continue  # it has ended meanwhile
        for child in map(int, children):
            found += [child, *descendants(child)]
    return found
