"""The App resource, over gRPC, at a real control plane, with a small app in place of the project's."""

import os
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.infra.modal_provider.conftest import Account
from tests.unit.infra.modal_provider.driver import Provider, Refused, State

OLD = {
    "name": "one",
    "environment": "main",
    "settings": {"CUSTOM_BLOCKS_REGION": "us", "CUSTOM_BLOCKS_TIMEOUT_SECONDS": "20"},
    "secrets": ["a"],
    "imageTag": "executor:v1",
    "sourceHash": "abc",
    "versions": {"modal": "1.6.4"},
}


def deployed(provider: Provider, environment: str, **changes: Any) -> State:
    inputs = {
        "name": "tiny",
        "environment": environment,
        "settings": {"CUSTOM_BLOCKS_TIMEOUT_SECONDS": "21"},
        "sourceHash": "one",
        "module": "tiny_app",
    }
    return provider.create("App", {**inputs, **changes})


@pytest.mark.parametrize(
    ("change", "paths", "replaced"),
    [
        ({}, [], []),
        ({"name": "two"}, ["name"], ["name"]),
        ({"environment": "staging"}, ["environment"], ["environment"]),
        ({"settings": {**OLD["settings"], "CUSTOM_BLOCKS_REGION": "eu"}}, ["settings.CUSTOM_BLOCKS_REGION"], []),  # type: ignore[dict-item]
        ({"settings": {"CUSTOM_BLOCKS_REGION": "us"}}, ["settings.CUSTOM_BLOCKS_TIMEOUT_SECONDS"], []),
        ({"secrets": ["a", "b"]}, ["secrets"], []),
        ({"imageTag": "executor:v2"}, ["imageTag"], []),
        ({"imageTag": None}, ["imageTag"], []),
        ({"sourceHash": "def"}, ["sourceHash"], []),
        ({"versions": {"modal": "1.6.5"}}, ["versions.modal"], []),
        ({"module": "other_app"}, ["module"], []),
        ({"module": "modal_app.app"}, [], []),
    ],
)
def test_what_changes_it_and_what_replaces_it(
    provider: Provider, change: dict[str, Any], paths: list[str], replaced: list[str]
) -> None:
    new = {key: value for key, value in {**OLD, **change}.items() if value is not None}
    diff = provider.diff("App", OLD, new)
    assert (sorted(diff.detailedDiff), list(diff.replaces)) == (paths, replaced)


def test_all_that_is_wrong_is_said_at_once(provider: Provider) -> None:
    wrong = {
        "name": "a/b",
        "settings": {"PATH": "/bin"},
        "secrets": "one",
        "sourceHash": "",
        "module": "-c",
        "url": "x",
    }
    failures = provider.failures("App", wrong)
    assert failures.pop("url").startswith("is no property; there are name, environment, settings, secrets")
    assert failures == {
        "environment": "is required",
        "name": "must be letters, digits, '.', '_' and '-', 64 at most",
        "settings": "has the key 'PATH'; a key is a setting's variable, CUSTOM_BLOCKS_…",
        "secrets": "must be a list of texts",
        "sourceHash": "must be text that isn't empty",
        "module": "must be a Python module's name",
    }


def test_it_is_deployed_with_its_settings_secrets_and_image(provider: Provider, environment: str) -> None:
    provider.create("Secret", {"name": "s", "environment": environment, "values": {"A": "canary-value"}})
    provider.create(
        "Image", {"tag": "tiny:v1", "environment": environment, "sourceHash": "one", "module": "tiny_build"}
    )
    state = deployed(provider, environment, secrets=["s"], imageTag="tiny:v1")
    assert state.id == f"{environment}/tiny"
    assert state.outputs["appId"].startswith("ap-")
    assert state.outputs["version"] == 1
    assert state.outputs["url"].endswith(f"/apps/{environment}/{state.outputs['appId']}")
    assert state.outputs["deployedAt"].startswith("20")
    lines = "\n".join(provider.engine.seen)
    assert (
        "settings: ['CUSTOM_BLOCKS_IMAGE_TAG=tiny:v1', 'CUSTOM_BLOCKS_SECRETS=s', 'CUSTOM_BLOCKS_TIMEOUT_SECONDS=21']"
        in lines
    )
    assert "passphrase: None" in lines
    assert "canary" not in lines


def test_a_refresh_finds_it_as_it_was_deployed(provider: Provider, environment: str) -> None:
    state = deployed(provider, environment)
    read = provider.read(state)
    assert read is not None
    assert read.inputs == {**state.inputs, "secrets": [], "versions": {}}
    assert read.outputs == state.outputs


def test_addresses_of_web_endpoints_are_those_that_modal_gave(
    provider: Provider, environment: str, account: Account
) -> None:
    state = deployed(provider, environment)
    door = f"modal.Cls.from_name('tiny', 'Door', environment_name='{environment}')()"
    asked = python(account, "-c", f"import modal; print({door}.page.get_web_url())").strip()
    assert state.outputs["endpoints"] == {"Door.page": asked}
    assert asked.endswith(f"-{environment}--tiny-page")
    moved = provider.update(state, {**state.inputs, "settings": {"CUSTOM_BLOCKS_LABEL": "other"}})
    assert moved.outputs["endpoints"] == {"Door.page": asked.replace("tiny-page", "tiny-other")}
    assert "endpoints" not in provider.diff("App", state.inputs, moved.inputs).stables


def test_an_address_that_was_given_meanwhile_is_found_by_a_refresh(provider: Provider, environment: str) -> None:
    state = deployed(provider, environment)
    before = provider.read(state)
    provider.update(state, {**state.inputs, "settings": {"CUSTOM_BLOCKS_LABEL": "other"}})
    after = provider.read(state)
    assert before is not None
    assert after is not None
    assert before.outputs == state.outputs
    assert after.outputs["endpoints"]["Door.page"].endswith("--tiny-other")


def test_an_update_deploys_the_next_version(provider: Provider, environment: str) -> None:
    state = deployed(provider, environment)
    updated = provider.update(state, {**state.inputs, "settings": {"CUSTOM_BLOCKS_TIMEOUT_SECONDS": "30"}})
    assert updated.outputs["version"] == 2
    assert updated.outputs["appId"] == state.outputs["appId"]


def test_creating_what_is_there_deploys_over_it(provider: Provider, environment: str) -> None:
    first = deployed(provider, environment)
    second = deployed(provider, environment)
    assert second.outputs["appId"] == first.outputs["appId"]


def test_a_rollback_is_drift_and_the_next_update_repairs_it(
    provider: Provider, environment: str, account: Account
) -> None:
    state = deployed(provider, environment)
    state = provider.update(state, {**state.inputs, "sourceHash": "two"})
    modal_command(account, "app", "rollback", "tiny", "v1", "--env", environment)
    read = provider.read(state)
    assert read is not None
    assert read.inputs["sourceHash"] == "(something else is live: v3, rolled back to v1)"
    assert read.outputs["version"] == 3
    repaired = provider.read(provider.update(read, state.inputs))
    assert repaired is not None
    assert repaired.inputs["sourceHash"] == "two"
    assert repaired.outputs["version"] == 4


def test_one_that_was_stopped_leaves_the_state(provider: Provider, environment: str, account: Account) -> None:
    state = deployed(provider, environment)
    modal_command(account, "app", "stop", "tiny", "--env", environment, "--yes")
    assert provider.read(state) is None


def test_a_deleted_one_leaves_the_state_and_deleting_it_again_is_no_error(provider: Provider, environment: str) -> None:
    state = deployed(provider, environment)
    provider.delete(state)
    assert provider.read(state) is None
    provider.delete(state)


def test_an_import_finds_what_is_live(provider: Provider, environment: str) -> None:
    state = deployed(provider, environment)
    found = provider.adopt("App", state.id)
    assert found is not None
    assert found.outputs["appId"] == state.outputs["appId"]
    assert found.inputs["sourceHash"].startswith("(something else is live: v1, deployed by ")
    assert provider.adopt("App", f"{environment}/nothing") is None


def test_a_deploy_that_fails_says_how_it_ended(provider: Provider, environment: str) -> None:
    with pytest.raises(
        Refused, match=r"`python -m modal deploy -m failing_app .* failed with exit status 1: .*no luck"
    ):
        deployed(provider, environment, module="failing_app")


def modal_command(account: Account, *arguments: str) -> None:
    python(account, "-m", "modal", *arguments)


def python(account: Account, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, env={**os.environ, **account.variables}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
