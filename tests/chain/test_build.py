"""`python -m modal_app.build` builds the image that a deploy then finds."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from tests.chain.conftest import mutated
from tests.chain.server import ROOT
from tests.contract.conftest import LocalModal


def build(plane: LocalModal, source: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modal_app.build"],
        cwd=source,
        env={**os.environ, **plane.client_env(), **variables},
        text=True,
        capture_output=True,
        check=False,
        timeout=100,
    )


def test_an_image_that_a_deploy_has_built_is_found(plane: LocalModal) -> None:
    done = build(plane)
    assert done.returncode == 0, done.stderr
    assert "was built already" in done.stdout


def test_an_image_that_has_changed_is_built_and_its_log_shown(plane: LocalModal, tmp_path: Path) -> None:
    value = uuid4().hex
    source = mutated(tmp_path, ("image.py", '"TELEMETRY_OPT_OUT": "True",', f'"TELEMETRY_OPT_OUT": "{value}",'))
    first, again = build(plane, source), build(plane, source)
    assert first.returncode == 0, first.stderr
    assert f"ENV TELEMETRY_OPT_OUT={value}" in first.stdout
    assert "built in" in first.stdout
    assert "was built already" in again.stdout


def test_a_build_that_cannot_start_says_why(plane: LocalModal) -> None:
    done = build(plane, MODAL_TOKEN_SECRET="as-wrong")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("build: AuthError: ")
