"""The ServiceUser resource, over gRPC, at a real control plane."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.unit.infra.modal_provider.conftest import Account
from tests.unit.infra.modal_provider.driver import Provider, Refused, State

OLD = {"name": "server", "roles": {"one": "contributor"}, "expiresInDays": 90, "generation": 1}


@pytest.fixture
def made(provider: Provider, environment: str) -> Iterator[State]:
    inputs = {"name": f"server-{uuid4().hex[:8]}", "roles": {environment: "contributor"}, "expiresInDays": 30}
    state = provider.create("ServiceUser", inputs)
    yield state
    provider.delete(state)


@pytest.mark.parametrize(
    ("change", "paths", "replaced"),
    [
        ({}, [], []),
        ({"name": "other"}, ["name"], ["name"]),
        ({"roles": {"one": "viewer"}}, ["roles.one"], []),
        ({"roles": {"one": "contributor", "two": "viewer"}}, ["roles.two"], []),
        ({"roles": {"two": "contributor"}}, ["roles.one", "roles.two"], []),
        ({"expiresInDays": 30}, ["expiresInDays"], ["expiresInDays"]),
        ({"expiresInDays": None}, ["expiresInDays"], ["expiresInDays"]),
        ({"generation": 2}, ["generation"], ["generation"]),
        ({"generation": None}, [], []),
    ],
)
def test_what_changes_it_and_what_replaces_it(
    provider: Provider, change: dict[str, Any], paths: list[str], replaced: list[str]
) -> None:
    new = {key: value for key, value in {**OLD, **change}.items() if value is not None}
    diff = provider.diff("ServiceUser", OLD, new)
    assert (sorted(diff.detailedDiff), list(diff.replaces)) == (paths, replaced)
    assert not diff.deleteBeforeReplace


def test_all_that_is_wrong_is_said_at_once(provider: Provider) -> None:
    wrong = {"name": "a.b", "roles": {"main": "owner", "two": "viewer"}, "expiresInDays": 0.5, "role": "viewer"}
    assert provider.failures("ServiceUser", wrong) == {
        "role": "is no property; there are name, roles, expiresInDays, generation",
        "name": "must be letters, digits, '_' and '-', 48 at most",
        "roles": "must hold contributor, viewer, no-access; 'main' holds something else",
        "expiresInDays": "must be a whole number from 1 to 3650",
    }


def test_its_secret_is_secret_in_the_state_and_survives_a_refresh(provider: Provider, made: State) -> None:
    assert made.id == f"{made.inputs['name']}-1"
    assert made.outputs["tokenId"].startswith("ak-")
    assert made.outputs["tokenSecret"].startswith("as-")
    assert made.secret == {"tokenSecret"}
    read = provider.read(made)
    assert read is not None
    assert read.outputs == made.outputs
    assert read.inputs == {**made.inputs, "generation": 1}
    assert read.secret == {"tokenSecret"}


def test_its_token_opens_its_environment_and_nothing_else(
    provider: Provider, made: State, account: Account, environment: str
) -> None:
    def secrets_of(name: str) -> subprocess.CompletedProcess[str]:
        token = {"MODAL_TOKEN_ID": made.outputs["tokenId"], "MODAL_TOKEN_SECRET": made.outputs["tokenSecret"]}
        command = [sys.executable, "-m", "modal", "secret", "list", "--env", name, "--json"]
        variables = {**os.environ, **account.variables, **token}
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)

    assert secrets_of(environment).returncode == 0
    assert secrets_of("main").returncode != 0
    provider.update(made, {**made.inputs, "roles": {environment: "no-access"}})
    assert secrets_of(environment).returncode != 0


def test_roles_come_and_go_and_the_token_stays(provider: Provider, made: State, environment: str) -> None:
    updated = provider.update(made, {**made.inputs, "roles": {"main": "viewer"}})
    assert updated.outputs == {**made.outputs, "roles": {"main": "viewer"}}
    read = provider.read(updated)
    assert read is not None
    assert read.inputs["roles"] == {"main": "viewer"}
    back = provider.read(
        provider.update(updated, {**made.inputs, "roles": {environment: "viewer", "main": "no-access"}})
    )
    assert back is not None
    assert back.inputs["roles"] == {environment: "viewer", "main": "no-access"}


def test_a_role_that_somebody_gave_is_drift(provider: Provider, made: State, environment: str) -> None:
    provider.update(made, {**made.inputs, "roles": {environment: "viewer", "main": "contributor"}})
    read = provider.read(made)
    assert read is not None
    assert read.inputs["roles"] == {environment: "viewer", "main": "contributor"}


def test_two_generations_live_side_by_side(provider: Provider, made: State) -> None:
    second = provider.create("ServiceUser", {**made.inputs, "generation": 2})
    assert second.outputs["tokenId"] != made.outputs["tokenId"]
    assert provider.read(made) is not None
    provider.delete(made)
    assert provider.read(second) is not None
    provider.delete(second)


def test_what_a_killed_run_left_and_nobody_used_is_replaced(provider: Provider, made: State) -> None:
    second = provider.create("ServiceUser", made.inputs)
    assert second.outputs["tokenId"] != made.outputs["tokenId"]
    assert provider.read(made) is None
    provider.delete(made)
    assert provider.read(second) is not None
    provider.delete(second)


def test_one_that_somebody_uses_is_never_taken_over(provider: Provider, made: State, account: Account) -> None:
    token = {"MODAL_TOKEN_ID": made.outputs["tokenId"], "MODAL_TOKEN_SECRET": made.outputs["tokenSecret"]}
    command = [sys.executable, "-m", "modal", "environment", "list"]
    subprocess.run(command, env={**os.environ, **account.variables, **token}, check=True, timeout=60)
    with pytest.raises(Refused, match=r"that this stack didn't make exists and was used on .*: choose another name"):
        provider.create("ServiceUser", made.inputs)
    assert provider.read(made) is not None


def test_one_without_its_role_stays_in_the_state_and_the_next_update_repairs_it(
    provider: Provider, environment: str
) -> None:
    inputs = {"name": f"server-{uuid4().hex[:8]}", "roles": {f"{environment}-missing": "viewer"}}
    with pytest.raises(Refused, match=r"the service user was made and lacks roles: .*not found") as refused:
        provider.create("ServiceUser", inputs)
    partial = refused.value.partial
    assert partial is not None
    state = State("ServiceUser", partial.id, inputs, partial.properties)
    assert state.secret == {"tokenSecret"}
    repaired = provider.update(state, {**inputs, "roles": {environment: "viewer"}})
    assert repaired.outputs["tokenSecret"] == state.outputs["tokenSecret"]
    assert repaired.outputs["expiresAt"] == ""
    provider.delete(repaired)


def test_a_deleted_one_leaves_the_state_and_deleting_it_again_is_no_error(provider: Provider) -> None:
    state = provider.create("ServiceUser", {"name": "short-lived", "roles": {}})
    provider.delete(state)
    assert provider.read(state) is None
    provider.delete(state)


def test_an_import_finds_all_but_the_secret(provider: Provider, made: State) -> None:
    found = provider.adopt("ServiceUser", made.id)
    assert found is not None
    assert found.inputs == {**made.inputs, "generation": 1}
    assert "tokenSecret" not in found.outputs
    assert provider.adopt("ServiceUser", "nobody-1") is None
