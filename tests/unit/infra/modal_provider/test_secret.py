"""The Secret resource, over gRPC, at a real control plane."""

from typing import Any

import pytest

from infra.modal_provider.secret import SET_ELSEWHERE
from tests.unit.infra.modal_provider.driver import Provider, Refused, State

OLD = {"name": "one", "environment": "main", "values": {"A": "canary-old", "B": "2"}}


def secret(provider: Provider, environment: str, **values: str) -> State:
    return provider.create("Secret", {"name": "one", "environment": environment, "values": values})


@pytest.mark.parametrize(
    ("change", "paths", "replaced"),
    [
        ({}, [], []),
        ({"name": "two"}, ["name"], ["name"]),
        ({"environment": "staging"}, ["environment"], ["environment"]),
        ({"values": {"A": "canary-new", "B": "2"}}, ["values.A"], []),
        ({"values": {"B": "2"}}, ["values.A"], []),
        ({"values": {"B": "2", "A": "canary-old"}}, [], []),
        ({"values": {"A": "canary-old", "B": "2", "C": "3"}}, ["values.C"], []),
    ],
)
def test_what_changes_it_and_what_replaces_it(
    provider: Provider, change: dict[str, Any], paths: list[str], replaced: list[str]
) -> None:
    diff = provider.diff("Secret", OLD, {**OLD, **change})
    assert (sorted(diff.detailedDiff), list(diff.replaces)) == (paths, replaced)
    assert "canary" not in str(diff)


def test_all_that_is_wrong_is_said_at_once(provider: Provider) -> None:
    failures = provider.failures("Secret", {"name": "a b", "values": {"A-B": "canary"}, "keys": ["A"]})
    assert failures == {
        "keys": "is no property; there are name, environment, values",
        "environment": "is required",
        "name": "must be letters, digits, '.', '_' and '-', 64 at most",
        "values": "has the key 'A-B'; a key is a variable's name: letters, digits and '_'",
    }
    assert provider.failures("Secret", {**OLD, "values": {"A": 1}}) == {"values": "must be a map of texts"}


def test_values_are_secret_in_the_state_though_the_program_did_not_say_so(provider: Provider, environment: str) -> None:
    state = secret(provider, environment, A="canary")
    assert state.secret == {"values"}
    assert state.outputs["keys"] == ["A"]
    assert state.outputs["secretId"].startswith("st-")
    read = provider.read(state)
    assert read is not None
    assert read.secret == {"values"}


def test_values_that_modal_never_shows_survive_a_refresh(provider: Provider, environment: str) -> None:
    state = secret(provider, environment, A="canary", B="2")
    read = provider.read(state)
    assert read is not None
    assert read.inputs == state.inputs
    assert read.outputs == state.outputs


def test_creating_what_is_there_replaces_its_values_and_keeps_its_id(provider: Provider, environment: str) -> None:
    first = secret(provider, environment, A="1", B="2")
    second = secret(provider, environment, C="3")
    assert second.outputs["keys"] == ["C"]
    assert second.outputs["secretId"] == first.outputs["secretId"]


@pytest.mark.parametrize("values", [{"A": "2"}, {"A": "1", "B": "2"}, {"B": "2"}, {}])
def test_an_update_leaves_exactly_the_new_values(provider: Provider, environment: str, values: dict[str, str]) -> None:
    state = secret(provider, environment, A="1")
    updated = provider.update(state, {**state.inputs, "values": values})
    assert updated.outputs["keys"] == sorted(values)
    assert updated.outputs["secretId"] == state.outputs["secretId"]


def test_an_update_of_what_is_gone_makes_it_again(provider: Provider, environment: str) -> None:
    state = secret(provider, environment, A="1")
    provider.delete(state)
    assert provider.update(state, state.inputs).outputs["keys"] == ["A"]


def test_a_variable_that_somebody_added_is_drift(provider: Provider, environment: str) -> None:
    state = secret(provider, environment, A="1")
    secret(provider, environment, A="1", ADDED="x")
    read = provider.read(state)
    assert read is not None
    assert read.inputs["values"] == {"A": "1", "ADDED": SET_ELSEWHERE}


def test_a_deleted_one_leaves_the_state_and_deleting_it_again_is_no_error(provider: Provider, environment: str) -> None:
    state = secret(provider, environment, A="1")
    provider.delete(state)
    assert provider.read(state) is None
    provider.delete(state)


def test_one_of_an_environment_that_is_gone_leaves_the_state_too(provider: Provider) -> None:
    state = State("Secret", "gone/one", {**OLD, "environment": "gone"}, provider.checked("Secret", OLD))
    assert provider.read(state) is None


def test_an_import_finds_the_names_of_its_variables(provider: Provider, environment: str) -> None:
    state = secret(provider, environment, A="canary")
    found = provider.adopt("Secret", state.id)
    assert found is not None
    assert found.inputs == {"name": "one", "environment": environment, "values": {"A": SET_ELSEWHERE}}
    with pytest.raises(Refused, match="'one' is no id of Secret: ids are ENVIRONMENT/NAME"):
        provider.adopt("Secret", "one")


def test_a_refusal_does_not_show_the_values(provider: Provider) -> None:
    inputs = {"name": "one", "environment": "canary-environment", "values": {"A": "canary-environment"}}
    with pytest.raises(Refused) as refused:
        provider.create("Secret", inputs)
    assert "not found" in str(refused.value)
    assert "canary" not in str(refused.value)
