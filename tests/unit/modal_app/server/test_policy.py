"""Who may run blocks, and as whom: the same for running and for validating."""

import pytest
from roboflow_workflows.errors import DynamicBlockError
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.server import policy
from modal_app.server.executor import get_modal_executor
from modal_app.server.validation import validate_code_in_modal
from tests.unit.modal_app.server.control_plane import ControlPlane

CODE = PythonCode(type="PythonCode", run_function_code="def run(self): return {'who': 'anyone'}")
NOBODY = [None, "", "anonymous", "unauthorized"]


@pytest.mark.parametrize("workspace", NOBODY)
def test_nobody_runs_nothing_where_anonymous_execution_is_off(workspace: str | None, plane: ControlPlane) -> None:
    with pytest.raises(DynamicBlockError, match="MODAL_ALLOW_ANONYMOUS_EXECUTION=True"):
        get_modal_executor(workspace).execute_remote("Block", CODE, {}, workspace)
    with pytest.raises(DynamicBlockError, match="MODAL_ALLOW_ANONYMOUS_EXECUTION=True"):
        validate_code_in_modal(CODE, workspace)
    assert plane.calls == []


@pytest.mark.parametrize("workspace", NOBODY)
def test_where_it_is_on_nobody_runs_as_the_anonymous_workspace(
    workspace: str | None, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "MODAL_ALLOW_ANONYMOUS_EXECUTION", True)
    monkeypatch.setattr(policy, "MODAL_ANONYMOUS_WORKSPACE_NAME", "guests")
    assert get_modal_executor(workspace).execute_remote("Block", CODE, {}, workspace) == {"who": "anyone"}
    assert plane.bound == [{"workspace_id": "guests"}]


def test_the_name_that_stands_for_nobody_counts_as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "MODAL_ALLOW_ANONYMOUS_EXECUTION", False)
    monkeypatch.setattr(policy, "MODAL_ANONYMOUS_WORKSPACE_NAME", "guests")
    with pytest.raises(DynamicBlockError, match="need an API key"):
        policy.resolve_workspace("guests")


def test_code_found_valid_for_one_is_not_thereby_valid_for_nobody(plane: ControlPlane) -> None:
    assert validate_code_in_modal(CODE, "ws-1")
    with pytest.raises(DynamicBlockError, match="need an API key"):
        validate_code_in_modal(CODE, "unauthorized")
    assert plane.bound == [{"workspace_id": "ws-1"}]


@pytest.mark.parametrize("workspace", ["acme", "my-team.2", "A_b-c", "7" * 128])
def test_a_workspace_runs_as_itself(workspace: str) -> None:
    assert policy.resolve_workspace(workspace) == workspace


@pytest.mark.parametrize("workspace", ["-acme", "a b", "a/b", "a\nb", "ä", "7" * 129, "a?workspace_id=b"])
def test_a_malformed_id_is_refused(workspace: str) -> None:
    with pytest.raises(DynamicBlockError, match="is malformed"):
        policy.resolve_workspace(workspace)
