"""Blocks of nobody: refused by default, for run and validation alike; run where the server's setting allows it.

As a program (`python -m modal_app.smoke.checks.anonymous`) this is a server with that setting, which runs such blocks.
"""

import os
import subprocess
import sys

from roboflow_workflows.errors import WorkflowError

from modal_app.smoke import server
from modal_app.smoke.environment import ANONYMOUS_VARIABLE
from modal_app.smoke.runner import CheckFailedError

NOBODY = (None, "", "anonymous", "unauthorized")
BLOCK = """
def run(self, number):
    return {"number": number + 1}
"""
REFUSAL = "modal_executor | anonymous_policy"
START_SECONDS = 80


def refused() -> str:
    """Whatever stands for nobody is refused, before anything is sent."""
    for workspace in NOBODY:
        for what, action in (
            ("run", lambda workspace=workspace: server.run_block(BLOCK, workspace, number=1)),
            ("validated", lambda workspace=workspace: server.validate_block(BLOCK, workspace)),
        ):
            error = server.error_of(action)
            if error is None:
                raise CheckFailedError(f"a block of the workspace {workspace!r} was {what} without being allowed to")
            if error.context != REFUSAL:
                raise CheckFailedError(f"refused, but not as anonymous: {error.public_message}")
    return "refused for run and validation"


def policy() -> str:
    """As `refused`; and another server, with the setting, runs them."""
    detail = refused()
    done = subprocess.run(  # noqa: S603 - this module
        [sys.executable, "-m", __name__],
        env={**os.environ, ANONYMOUS_VARIABLE: "True"},
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CheckFailedError(f"with {ANONYMOUS_VARIABLE}=True: {_last_line(done.stderr) or 'no answer'}")
    return f"{detail}; both allowed with {ANONYMOUS_VARIABLE}=True"


def allowed() -> None:
    """Runs and validates a block of nobody, in a server that allows it.

    Raises:
        CheckFailedError: it gives another result than it should.
        WorkflowError: it is refused.
    """
    for workspace in NOBODY:
        server.validate_block(BLOCK, workspace)
    if server.run_block(BLOCK, None, number=1) != {"number": 2}:
        raise CheckFailedError("an anonymous block gave a wrong result")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


if __name__ == "__main__":
    try:
        allowed()
    except (CheckFailedError, WorkflowError) as error:
        sys.exit(getattr(error, "public_message", str(error)))
