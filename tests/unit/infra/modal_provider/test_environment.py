"""The Environment resource, over gRPC, at a real control plane."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.unit.infra.modal_provider.driver import Provider, Refused, State

OLD = {"name": "one", "webSuffix": "one", "restricted": False}


@pytest.fixture
def made(provider: Provider) -> Iterator[State]:
    state = provider.create("Environment", {"name": f"env-{uuid4().hex[:8]}", "webSuffix": f"s{uuid4().hex[:8]}"})
    yield state
    provider.delete(state)


@pytest.mark.parametrize(
    ("change", "paths", "replaced"),
    [
        ({}, [], []),
        ({"name": "two"}, ["name"], ["name"]),
        ({"webSuffix": "two"}, ["webSuffix"], []),
        ({"webSuffix": None}, ["webSuffix"], []),
        ({"restricted": True}, ["restricted"], ["restricted"]),
        ({"restricted": None}, [], []),
    ],
)
def test_what_changes_it_and_what_replaces_it(
    provider: Provider, change: dict[str, Any], paths: list[str], replaced: list[str]
) -> None:
    new = {key: value for key, value in {**OLD, **change}.items() if value is not None}
    diff = provider.diff("Environment", OLD, new)
    assert (sorted(diff.detailedDiff), list(diff.replaces)) == (paths, replaced)


def test_one_of_another_kind_and_the_same_name_is_made_after_the_old_one_is_gone(provider: Provider) -> None:
    assert provider.diff("Environment", OLD, {**OLD, "restricted": True}).deleteBeforeReplace
    assert not provider.diff("Environment", OLD, {**OLD, "name": "two"}).deleteBeforeReplace


def test_all_that_is_wrong_is_said_at_once(provider: Provider) -> None:
    failures = provider.failures("Environment", {"webSuffix": "A B", "restricted": "yes", "colour": "red"})
    assert failures == {
        "colour": "is no property; there are name, webSuffix, restricted",
        "name": "is required",
        "webSuffix": "must be lower-case letters, digits and '-', 63 at most",
        "restricted": "must be true or false",
    }


def test_it_is_there_after_its_creation_and_read_as_it_is(provider: Provider, made: State) -> None:
    assert made.id == made.inputs["name"]
    assert made.outputs["environmentId"].startswith("en-")
    again = provider.read(made)
    assert again is not None
    assert again.inputs == {**made.inputs, "restricted": False}
    assert again.outputs == made.outputs


def test_creating_what_is_there_adopts_it(provider: Provider, made: State) -> None:
    again = provider.create("Environment", {**made.inputs, "webSuffix": "adopted"})
    assert again.outputs["environmentId"] == made.outputs["environmentId"]
    read = provider.read(again)
    assert read is not None
    assert read.inputs["webSuffix"] == "adopted"


def test_an_update_changes_the_suffix_in_place(provider: Provider, made: State) -> None:
    updated = provider.update(made, {**made.inputs, "webSuffix": "newer"})
    read = provider.read(updated)
    assert read is not None
    assert read.inputs["webSuffix"] == "newer"


def test_one_that_exists_and_is_open_is_not_taken_for_a_restricted_one(provider: Provider, made: State) -> None:
    with pytest.raises(Refused, match="exists and is not restricted, which can't be changed: set restricted to false"):
        provider.create("Environment", {**made.inputs, "restricted": True})


def test_a_restricted_one_is_read_as_such(provider: Provider) -> None:
    state = provider.create("Environment", {"name": f"env-{uuid4().hex[:8]}", "restricted": True})
    read = provider.read(state)
    assert read is not None
    assert read.inputs["restricted"] is True
    provider.delete(state)


def test_a_deleted_one_leaves_the_state_and_deleting_it_again_is_no_error(provider: Provider) -> None:
    state = provider.create("Environment", {"name": f"env-{uuid4().hex[:8]}"})
    provider.delete(state)
    assert provider.read(state) is None
    provider.delete(state)


def test_an_import_finds_what_there_is(provider: Provider, made: State) -> None:
    found = provider.adopt("Environment", made.id)
    assert found is not None
    assert found.inputs == {**made.inputs, "restricted": False}
    assert provider.adopt("Environment", "nowhere") is None


def test_a_suffix_is_left_alone_unless_the_program_has_one(provider: Provider, made: State) -> None:
    state = State("Environment", made.id, {"name": made.id}, made.properties)
    read = provider.read(state)
    assert read is not None
    assert "webSuffix" not in read.inputs
