"""Runs a module of the project, or a program: its output as progress, its end when the engine says so."""

import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from infra.modal_provider.resource import Operation, ProviderError

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("child.py")
SETTING = r"CUSTOM_BLOCKS_[A-Z0-9_]+"
SETTING_RULE = "a setting's variable, CUSTOM_BLOCKS_…"
PYTHON_MODULE = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
PYTHON_MODULE_RULE = "a Python module's name"
STOP_SECONDS = 10.0
"""From the request to end to the kill."""
KEPT_LINES = 2_000
SHOWN_LINES = 4
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")
PLAIN_OUTPUT = {"NO_COLOR": "1", "COLUMNS": "500", "PYTHONUNBUFFERED": "1"}
KEPT_OUT = ("PULUMI_", "CUSTOM_BLOCKS_")
"""Variables that the process doesn't get: the stack's passphrase among them, and settings other than the resource's."""


def run_module(arguments: list[str], environment: str, settings: Mapping[str, str], op: Operation) -> list[str]:
    """Runs `python -m <arguments>` in the repository, for a Modal environment and with these settings; gives its lines.

    Raises:
        ProviderError: it failed; with the last lines that it wrote.
        Cancelled: the engine asked to stop.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(KEPT_OUT)}
    variables = {**inherited, **settings, "MODAL_ENVIRONMENT": environment}
    return run_command([sys.executable, "-m", *arguments], variables, op, shown=f"`python -m {' '.join(arguments)}`")


def run_command(
    command: list[str], variables: Mapping[str, str], op: Operation, *, shown: str, cwd: Path = ROOT
) -> list[str]:
    """Runs a program, given by its path; gives its lines. `shown` is what an error calls it.

    Raises:
        ProviderError: it failed; with the last lines that it wrote.
        Cancelled: the engine asked to stop.
    """
    ending_with_this = [sys.executable, "-I", str(CHILD), str(os.getpid())]
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    process = subprocess.Popen(  # noqa: S603 - the provider's own command, with the resource's arguments
        [*ending_with_this, *command],
        cwd=cwd,
        env={**variables, **PLAIN_OUTPUT},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process, op.cancellation.calling(lambda: _stop(process)):
        for raw in process.stdout or ():
            line = ESCAPES.sub("", raw).rstrip()
            if line:
                lines.append(_without_credentials(line))
                op.progress(lines[-1])
    op.cancellation.check()
    if process.returncode:
        last = " | ".join(line.strip() for line in list(lines)[-SHOWN_LINES:]) or "it wrote nothing"
        raise ProviderError(f"{shown} failed with exit status {process.returncode}: {last}")
    return list(lines)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    timer = threading.Timer(STOP_SECONDS, process.kill)
    timer.daemon = True
    timer.start()


def _without_credentials(line: str) -> str:
    secret = os.environ.get("MODAL_TOKEN_SECRET")
    return line.replace(secret, "[secret]") if secret else line
