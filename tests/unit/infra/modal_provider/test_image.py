"""The Image resource, over gRPC, at a real control plane, with a small image in place of the project's."""

from typing import Any

import pytest

from tests.unit.infra.modal_provider.driver import Provider, Refused, State

OLD = {
    "tag": "executor:v1",
    "environment": "main",
    "settings": {"CUSTOM_BLOCKS_TORCH": "cpu"},
    "sourceHash": "abc",
}


def published(provider: Provider, environment: str, **changes: Any) -> State:
    inputs = {"tag": "tiny:v1", "environment": environment, "sourceHash": "one", "module": "tiny_build"}
    return provider.create("Image", {**inputs, **changes})


@pytest.mark.parametrize(
    ("change", "paths", "replaced"),
    [
        ({}, [], []),
        ({"tag": "executor:v2"}, ["tag"], ["tag"]),
        ({"environment": "staging"}, ["environment"], ["environment"]),
        ({"settings": {"CUSTOM_BLOCKS_TORCH": "auto"}}, ["settings.CUSTOM_BLOCKS_TORCH"], []),
        ({"settings": None}, ["settings.CUSTOM_BLOCKS_TORCH"], []),
        ({"sourceHash": "def"}, ["sourceHash"], []),
        ({"module": "other_build"}, ["module"], []),
        ({"module": "modal_app.build"}, [], []),
    ],
)
def test_what_changes_it_and_what_replaces_it(
    provider: Provider, change: dict[str, Any], paths: list[str], replaced: list[str]
) -> None:
    new = {key: value for key, value in {**OLD, **change}.items() if value is not None}
    diff = provider.diff("Image", OLD, new)
    assert (sorted(diff.detailedDiff), list(diff.replaces)) == (paths, replaced)


def test_all_that_is_wrong_is_said_at_once(provider: Provider) -> None:
    assert provider.failures("Image", {"tag": "executor", "settings": {"A": "b"}, "imageId": "im-1"}) == {
        "imageId": "is no property; there are tag, environment, settings, sourceHash, module",
        "environment": "is required",
        "sourceHash": "is required",
        "tag": "must be a name and a tag, NAME:TAG",
        "settings": "has the key 'A'; a key is a setting's variable, CUSTOM_BLOCKS_…",
    }


def test_it_is_built_published_and_read_back_by_its_tag(provider: Provider, environment: str) -> None:
    state = published(provider, environment, settings={"CUSTOM_BLOCKS_MARKER": "one"})
    assert state.id == f"{environment}/tiny:v1"
    assert state.outputs["imageId"].startswith("im-")
    assert "settings: ['CUSTOM_BLOCKS_MARKER=one']" in provider.engine.seen
    read = provider.read(state)
    assert read is not None
    assert read.inputs == state.inputs
    assert read.outputs == state.outputs


def test_an_update_gives_the_tag_to_another_image(provider: Provider, environment: str) -> None:
    state = published(provider, environment)
    updated = provider.update(state, {**state.inputs, "settings": {"CUSTOM_BLOCKS_MARKER": "two"}})
    assert updated.outputs["imageId"] != state.outputs["imageId"]
    read = provider.read(state)
    assert read is not None
    assert read.inputs["sourceHash"] == f"(another image has this tag: {updated.outputs['imageId']})"


def test_creating_what_is_there_finds_the_same_image(provider: Provider, environment: str) -> None:
    assert published(provider, environment).outputs == published(provider, environment).outputs


def test_a_deleted_one_leaves_the_state_and_deleting_it_again_is_no_error(provider: Provider, environment: str) -> None:
    state = published(provider, environment)
    provider.delete(state)
    assert provider.read(state) is None
    provider.delete(state)


def test_an_import_finds_its_image(provider: Provider, environment: str) -> None:
    state = published(provider, environment)
    found = provider.adopt("Image", state.id)
    assert found is not None
    assert found.outputs["imageId"] == state.outputs["imageId"]
    assert found.inputs["sourceHash"] == "(not known)"
    assert provider.adopt("Image", f"{environment}/nothing:v1") is None


def test_a_build_that_fails_says_how_it_ended(provider: Provider, environment: str) -> None:
    with pytest.raises(Refused, match=r"`python -m failing_app .*` failed with exit status 1: .*no luck"):
        published(provider, environment, module="failing_app")
