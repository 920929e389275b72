"""The ServerImage resource over gRPC, as far as it goes without an engine; tests/docker has the rest of its life."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.modal_provider.values import UNKNOWN
from tests.unit.infra.modal_provider import driver
from tests.unit.infra.modal_provider.driver import Provider, Refused

OLD = {
    "name": "registry.example:5000/acme/images:cpu-1",
    "push": True,
    "dockerfile": "docker/Dockerfile",
    "buildArgs": {"BASE": "python:3.11", "TORCH": "cpu"},
    "files": {"docker/Dockerfile": "0a", "app/main.py": "1b"},
    "sourceHash": "abc",
}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """Neither an engine nor Modal answers."""
    nowhere = f"unix://{tmp_path_factory.mktemp('engine')}/docker.sock"
    with driver.provider({"DOCKER_HOST": nowhere, "MODAL_SERVER_URL": "http://127.0.0.1:9"}) as running:
        yield running


@pytest.mark.parametrize(
    ("change", "paths", "replaced"),
    [
        ({}, [], []),
        ({"name": "registry.example:5000/acme/images:cpu-2"}, ["name"], ["name"]),
        ({"push": False}, ["push"], []),
        ({"push": None}, ["push"], []),
        ({"dockerfile": "docker/Other"}, ["dockerfile"], []),
        ({"context": "elsewhere"}, ["context"], []),
        ({"context": "."}, [], []),
        ({"buildArgs": {"BASE": "python:3.11", "TORCH": ""}}, ["buildArgs.TORCH"], []),
        ({"buildArgs": {"BASE": "python:3.11"}}, ["buildArgs.TORCH"], []),
        ({"files": {"docker/Dockerfile": "0a", "app/main.py": "2c"}}, ['files["app/main.py"]'], []),
        (
            {"files": {"docker/Dockerfile": "0a", "app/other.py": "1b"}},
            ['files["app/main.py"]', 'files["app/other.py"]'],
            [],
        ),
        ({"files": dict(reversed(OLD["files"].items()))}, [], []),  # type: ignore[attr-defined]
        ({"sourceHash": "def"}, ["sourceHash"], []),
    ],
)
def test_what_changes_it_is_named_file_by_file(
    provider: Provider, change: dict[str, Any], paths: list[str], replaced: list[str]
) -> None:
    new = {key: value for key, value in {**OLD, **change}.items() if value is not None}
    diff = provider.diff("ServerImage", OLD, new)
    assert (sorted(diff.detailedDiff), list(diff.replaces)) == (paths, replaced)
    if replaced:
        assert not diff.deleteBeforeReplace, "the old one serves until the new one is there"


def test_all_that_is_wrong_is_said_at_once(provider: Provider) -> None:
    wrong = {"name": "Images", "push": "yes", "buildArgs": {"A-B": ""}, "password": "x"}
    assert provider.failures("ServerImage", wrong) == {
        "password": "is no property; there are name, push, layers, dockerfile, context, buildArgs, files, sourceHash",
        "name": "must be an image's name in lower case and its tag, such as HOST/NAME:TAG",
        "push": "must be true or false",
        "buildArgs": "has the key 'A-B'; a key is an argument's name: letters, digits and '_'",
        "dockerfile": "is required",
        "sourceHash": "is required",
    }


@pytest.mark.parametrize("name", ["images:1", "acme/images:v1.0_x", "ghcr.io/acme/a/b:1", "127.0.0.1:5000/images:1"])
def test_names_are_those_of_engines_and_registries(provider: Provider, name: str) -> None:
    assert provider.failures("ServerImage", {**OLD, "name": name}) == {}


@pytest.mark.parametrize("name", ["images", "images:", "a@sha256:00", "-a:1", "a b:1", "a:-1", "/a:1"])
def test_others_are_refused(provider: Provider, name: str) -> None:
    assert provider.failures("ServerImage", {**OLD, "name": name}).keys() == {"name"}


def test_values_that_are_not_known_yet_are_no_mistakes(provider: Provider) -> None:
    unknown = dict.fromkeys(OLD, UNKNOWN)
    assert provider.failures("ServerImage", unknown) == {}
    assert provider.create("ServerImage", unknown, preview=True).outputs["name"] is UNKNOWN


def test_a_preview_needs_no_engine(provider: Provider) -> None:
    foreseen = provider.create("ServerImage", OLD, preview=True).outputs
    assert foreseen["name"] == OLD["name"]
    assert foreseen["repoDigest"] is UNKNOWN


def test_without_an_engine_every_operation_says_what_to_do_and_keeps_the_state(provider: Provider) -> None:
    state = provider.create("ServerImage", {**OLD, "push": False}, preview=True)
    state.id = str(OLD["name"])
    operations: list[Callable[[], object]] = [
        lambda: provider.create("ServerImage", OLD),
        lambda: provider.read(state),
        lambda: provider.delete(state),
    ]
    for operation in operations:
        with pytest.raises(Refused, match=r"none answers at unix://.*/docker\.sock \(No such file or directory\)"):
            operation()


def test_a_pushed_image_can_be_given_up_on_a_machine_without_an_engine(provider: Provider) -> None:
    state = provider.create("ServerImage", OLD, preview=True)
    state.id = str(OLD["name"])
    provider.delete(state)
    assert "no engine answers here: there is no tag to take back" in provider.engine.seen


@pytest.mark.parametrize("wrong", ["images", "images:1:2"])
def test_an_import_of_what_is_no_name_says_what_ids_are(provider: Provider, wrong: str) -> None:
    with pytest.raises(Refused, match="is no id of ServerImage: ids are NAME:TAG"):
        provider.adopt("ServerImage", wrong)
