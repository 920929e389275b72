"""A deployment that undoes itself: deploy, check the whole chain, and roll back when a check fails.

`python -m infra.release --stack STACK` ends with 0 only where what the code says is live and passed every check.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.converge.environment import ROOT
from infra.converge.errors import STACK_NOT_FOUND, ConvergeError
from infra.converge.stack import Stack
from infra.env_file import server_environment

NOT_DEPLOYED = 1
"""The deployment failed before anything new was live."""
ROLLED_BACK = 3
"""What was live before is live again, and passed every check."""
BROKEN = 4
"""What is live fails its checks, and there was nothing to go back to or going back didn't help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The last line says what is live."""
    parser = argparse.ArgumentParser("python -m infra.release", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stack", default=os.environ.get("STACK") or "local", help="the stack (default: %(default)s)")
    parser.add_argument("--record", type=Path, help="a file to say in what is deployed then")
    options = parser.parse_args(arguments)
    try:
        return release(Stack(options.stack), options.record)
    except ConvergeError as error:
        sys.stderr.write(f"{error}\n")
        return error.status
    except KeyboardInterrupt:
        _say(f"interrupted: what is deployed stays; `make smoke STACK={options.stack}` checks it")
        return 130


def release(stack: Stack, record: Path | None = None) -> int:
    """Deploys, checks, and goes back where a check fails.

    After going back, the checks run as the server that was connected before: with the variables of that deployment.

    Raises:
        ConvergeError: there is no way to the stack, or another deployment holds it.
    """
    before, server_before = stack.version(), _outputs(stack)
    status = stack.up(record=record)
    deployed = stack.version()
    is_new = deployed != before
    if status and not is_new:
        _say(f"stack {stack.name}: the deployment failed; what is live is, as the state says, {_name(before)}")
        return NOT_DEPLOYED
    if not status and _smoke(stack, stack.outputs(secrets=True)):
        sys.stdout.write(record.read_text("utf-8") if record and record.exists() else "")
        _say(f"stack {stack.name}: {_name(deployed)} is live and passed every check")
        return 0
    what = f"{'the deployment failed half-way' if status else 'a check failed'} on {_name(deployed)}"
    if not is_new:
        _say(f"stack {stack.name}: {what}, which was live before: there is nothing to undo")
        return BROKEN
    if before is None:
        _say(f"stack {stack.name}: {what}, the first: there is nothing to go back to")
        return BROKEN
    _say(f"stack {stack.name}: {what}: going back to {_name(before)}")
    return _go_back(stack, _name(deployed), _name(before), server_before or stack.outputs(secrets=True))


def _go_back(stack: Stack, deployed: str, before: str, server_before: Mapping[str, Any]) -> int:
    if stack.rollback(None):
        _say(f"stack {stack.name}: going back failed, and {deployed} may be live: see above")
        return BROKEN
    if not _smoke(stack, server_before):
        _say(f"stack {stack.name}: {before} is live again, and a check failed on it too")
        return BROKEN
    _say(f"stack {stack.name}: {before} is live again and passed every check; {deployed} is not live")
    return ROLLED_BACK


def _outputs(stack: Stack) -> dict[str, Any] | None:
    """Those of what is deployed; None before the first deployment that went through."""
    try:
        return stack.outputs(secrets=True)
    except ConvergeError as error:
        if error.status != STACK_NOT_FOUND:
            raise
        return None


def _smoke(stack: Stack, outputs: Mapping[str, Any]) -> bool:
    """Whether every check passes for a server that has the variables of these outputs."""
    command = [sys.executable, "-m", "modal_app.smoke"]
    environment = server_environment(stack, outputs)
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0  # noqa: S603 - fixed


def _name(version: int | None) -> str:
    return f"v{version}" if version else "no version"


def _say(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
