"""The ProxyToken resource, over gRPC, at a real control plane."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.unit.infra.modal_provider.driver import Provider, Refused, State

OLD = {"name": "server", "environments": ["one", "two"], "generation": 1}


@pytest.fixture
def made(provider: Provider, environment: str) -> Iterator[State]:
    state = provider.create("ProxyToken", {"name": f"server-{uuid4().hex[:8]}", "environments": [environment]})
    yield state
    provider.delete(state)


@pytest.mark.parametrize(
    ("change", "paths", "replaced"),
    [
        ({}, [], []),
        ({"name": "other"}, ["name"], []),
        ({"environments": ["one"]}, ["environments"], []),
        ({"environments": ["one", "three"]}, ["environments"], []),
        ({"generation": 2}, ["generation"], ["generation"]),
        ({"generation": None}, [], []),
    ],
)
def test_what_changes_it_and_what_replaces_it(
    provider: Provider, change: dict[str, Any], paths: list[str], replaced: list[str]
) -> None:
    new = {key: value for key, value in {**OLD, **change}.items() if value is not None}
    diff = provider.diff("ProxyToken", OLD, new)
    assert (sorted(diff.detailedDiff), list(diff.replaces)) == (paths, replaced)
    assert not diff.deleteBeforeReplace


def test_all_that_is_wrong_is_said_at_once(provider: Provider) -> None:
    assert provider.failures("ProxyToken", {"name": 1, "environments": [], "generation": 0}) == {
        "name": "must be letters, digits, '.', '_' and '-', 48 at most",
        "environments": "must name at least one",
        "generation": "must be a whole number from 1 to 1000000",
    }
    twice = {"name": "one", "environments": ["main", "main"]}
    assert provider.failures("ProxyToken", twice) == {"environments": "names one of its items twice"}


def test_its_secret_is_secret_in_the_state_and_survives_a_refresh(provider: Provider, made: State) -> None:
    assert made.id == made.outputs["tokenId"]
    assert made.id.startswith("wk-")
    assert made.outputs["tokenSecret"].startswith("ws-")
    assert made.secret == {"tokenSecret"}
    read = provider.read(made)
    assert read is not None
    assert read.outputs == made.outputs
    assert read.inputs == {**made.inputs, "generation": 1}
    assert read.secret == {"tokenSecret"}


def test_environments_come_and_go_and_the_token_stays(provider: Provider, made: State, environment: str) -> None:
    other = provider.create("Environment", {"name": f"{environment}-b"})
    updated = provider.update(made, {**made.inputs, "environments": [other.id]})
    assert updated.outputs["tokenSecret"] == made.outputs["tokenSecret"]
    read = provider.read(updated)
    assert read is not None
    assert read.inputs["environments"] == [other.id]
    provider.update(updated, made.inputs)
    provider.delete(other)


def test_an_environment_that_somebody_allowed_is_drift(provider: Provider, made: State, environment: str) -> None:
    other = provider.create("Environment", {"name": f"{environment}-b"})
    provider.update(made, {**made.inputs, "environments": [environment, other.id]})
    read = provider.read(made)
    assert read is not None
    assert read.inputs["environments"] == [environment, other.id]
    provider.delete(other)


def test_a_new_name_keeps_the_token(provider: Provider, made: State) -> None:
    updated = provider.update(made, {**made.inputs, "name": "renamed"})
    read = provider.read(updated)
    assert read is not None
    assert (read.id, read.inputs["name"]) == (made.id, "renamed")


def test_two_generations_live_side_by_side(provider: Provider, made: State) -> None:
    second = provider.create("ProxyToken", {**made.inputs, "generation": 2})
    assert second.outputs["tokenSecret"] != made.outputs["tokenSecret"]
    assert provider.read(made) is not None
    provider.delete(made)
    assert provider.read(second) is not None
    provider.delete(second)


def test_what_a_killed_run_left_is_replaced(provider: Provider, made: State) -> None:
    second = provider.create("ProxyToken", made.inputs)
    assert second.id != made.id
    assert provider.read(made) is None
    provider.delete(made)
    assert provider.read(second) is not None
    provider.delete(second)


def test_one_that_can_not_be_scoped_stays_in_the_state_and_the_next_update_repairs_it(
    provider: Provider, environment: str
) -> None:
    inputs = {"name": f"server-{uuid4().hex[:8]}", "environments": [f"{environment}-missing"]}
    with pytest.raises(Refused, match=r"the token was made and isn't scoped yet: .*not found") as refused:
        provider.create("ProxyToken", inputs)
    partial = refused.value.partial
    assert partial is not None
    assert partial.id.startswith("wk-")
    state = State("ProxyToken", partial.id, inputs, partial.properties)
    assert state.secret == {"tokenSecret"}
    repaired = provider.update(state, {**inputs, "environments": [environment]})
    assert repaired.outputs["tokenSecret"] == state.outputs["tokenSecret"]
    read = provider.read(repaired)
    assert read is not None
    assert read.inputs["environments"] == [environment]
    provider.delete(repaired)


def test_a_deleted_one_leaves_the_state_and_deleting_it_again_is_no_error(provider: Provider, environment: str) -> None:
    state = provider.create("ProxyToken", {"name": "short-lived", "environments": [environment]})
    provider.delete(state)
    assert provider.read(state) is None
    provider.delete(state)


def test_an_import_finds_all_but_the_secret(provider: Provider, made: State) -> None:
    found = provider.adopt("ProxyToken", made.id)
    assert found is not None
    assert found.inputs == {**made.inputs, "generation": 1}
    assert "tokenSecret" not in found.outputs
    assert provider.adopt("ProxyToken", "wk-nothing") is None
