"""A workflow of the released engine gives the same, whether its blocks run in this process or in sandboxes."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.modal_app.contract.test_kinds import same
from tests.unit.modal_app.server import engine_process
from tests.unit.modal_app.server.control_plane import ControlPlane


@pytest.mark.filterwarnings("ignore")  # of the engine's own blocks and their dependencies
def test_a_workflow_gives_what_it_gives_locally(plane: ControlPlane, tmp_path: Path) -> None:
    """The engine reads its mode once, so it runs in a process of its own; the plug-in is loaded by the engine there."""
    answer = tmp_path / "answer"
    environment = {
        "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "modal",
        "WORKFLOWS_PLUGINS": "modal_app.server.plugin",
        "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "False",
        "MODAL_SERVER_URL": plane.url,
        "MODAL_TOKEN_ID": '"ak-test"',
        "MODAL_TOKEN_SECRET": '"as-test"',
        "DISABLE_VERSION_CHECK": "True",
        "TELEMETRY_OPT_OUT": "True",
        "PYTHONPATH": ":".join(sys.path),
        "HOME": str(tmp_path),
    }
    command = [sys.executable, engine_process.__file__, str(answer)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    replaced, (values, as_json) = pickle.loads(answer.read_bytes())  # noqa: S301 - written by this test
    assert replaced == (True, True, True)
    assert same(values, engine_process.run_workflow())
    assert same(as_json, engine_process.run_workflow(serialize=True))
    assert "looking at" in done.stdout
    assert [item.method_name for item in plane.inputs] == ["validate", "validate", *["execute"] * 8]
    assert plane.bound == [{"workspace_id": "acme"}]
