"""The program asks for what a stack's settings say, and for nothing before they are right."""

import logging

import pulumi
import pytest

from infra.app_facts import app_facts
from tests.unit.infra.deployment import Deployment, deploy, run

FACTS = app_facts()


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODAL_SERVER_URL", raising=False)


def test_a_stack_without_settings_has_all_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch)
    assert sorted(resource.type.rpartition(":")[2] for resource in made.resources) == [
        "Access", "App", "Environment", "ExecutorApp", "ExecutorSecrets", "Image", "ProxyToken", "ServiceUser",
    ]  # fmt: skip


def test_its_outputs_say_where_everything_is(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = deploy(monkeypatch).outputs
    assert outputs["environment"] == "staging"
    assert outputs["appId"] == "ap-1"
    assert outputs["appVersion"] == 3
    assert outputs["appUrl"] == "https://modal.com/apps/ap-1"
    assert outputs["doors"] == {
        "http": "https://acme-staging--blocks-execute-block.modal.run",
        "websocket": "https://acme-staging--blocks-wsapp.modal.run",
        "session": "https://acme-staging--blocks-session.modal.run",
    }
    assert outputs["anonymous"] == "refuse"
    assert "serverUrl" not in outputs
    assert outputs["next"]["check it"] == "make smoke STACK=staging"
    assert outputs["serviceUser"] == {
        "tokenId": "ak-custom-blocks-staging-1",
        "tokenSecret": "as-custom-blocks-staging-1",
    }
    assert outputs["proxyToken"]["tokenId"] == "wk-custom-blocks-staging-1"


def test_all_that_is_secret_is_marked_so(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(
        monkeypatch,
        executorEnv={"A": "1"},
        executorSecrets={"KEY": "canary-block"},
        serverSecrets={"K": "canary-server"},
    )
    assert made.secret_outputs == {"serviceUser", "proxyToken", "serverSecrets"}
    assert made.outputs["serverSecrets"] == {"K": "canary-server"}
    for kind in ("ServiceUser", "ProxyToken"):
        assert made.the(kind).secret == {"tokenSecret"}
    assert {secret.name: secret.secret for secret in made.of("Secret")} == {
        "custom-blocks-env": {"values"},
        "custom-blocks-secrets": {"values"},
    }
    assert_only_where_marked(made, "canary-block", "canary-server")


def assert_only_where_marked(made: Deployment, *canaries: str) -> None:
    plain = [
        str(value)
        for resource in made.resources
        for name, value in resource.inputs.items()
        if name not in resource.secret
    ]
    plain += [str(value) for name, value in made.outputs.items() if name not in made.secret_outputs]
    assert not [text for text in plain for canary in canaries if canary in text]


def test_the_deployers_own_credentials_are_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch)
    assert "deployer" not in str(made)


@pytest.mark.parametrize(
    ("key", "value", "setting"),
    [
        ("region", "eu-west-1", "CUSTOM_BLOCKS_REGION=eu-west-1"),
        ("cloud", "gcp", "CUSTOM_BLOCKS_CLOUD=gcp"),
        ("routingRegion", "eu", "CUSTOM_BLOCKS_ROUTING_REGION=eu"),
        ("timeout", "40", "CUSTOM_BLOCKS_TIMEOUT_SECONDS=40"),
        ("startupTimeout", "90", "CUSTOM_BLOCKS_STARTUP_TIMEOUT_SECONDS=90"),
        ("scaledownWindow", "60", "CUSTOM_BLOCKS_SCALEDOWN_WINDOW_SECONDS=60"),
        ("bufferContainers", "2", "CUSTOM_BLOCKS_BUFFER_CONTAINERS=2"),
        ("maxContainers", "9", "CUSTOM_BLOCKS_MAX_CONTAINERS=9"),
        ("warmWorkspaces", ["acme", "ours"], "CUSTOM_BLOCKS_WARM_WORKSPACES=acme,ours"),
        ("memory", "2048", "CUSTOM_BLOCKS_MEMORY_MIB=2048"),
        ("cpu", "1.5", "CUSTOM_BLOCKS_CPU=1.5"),
        ("network", "egress", "CUSTOM_BLOCKS_NETWORK=egress"),
    ],
)
def test_a_setting_of_the_class_changes_the_app_and_not_its_image(
    monkeypatch: pytest.MonkeyPatch, key: str, value: object, setting: str
) -> None:
    before, after = deploy(monkeypatch), deploy(monkeypatch, **{key: value})
    variable, _, text = setting.partition("=")
    assert {**before.the("App").inputs["settings"], variable: text} == after.the("App").inputs["settings"]
    assert before.the("App").inputs["settings"] != after.the("App").inputs["settings"]
    assert before.the("Image") == after.the("Image")


@pytest.mark.parametrize(
    ("key", "value", "setting"),
    [
        ("packages", ["shapely==2.1.2", "a[b]==1.0"], "CUSTOM_BLOCKS_PACKAGES=shapely==2.1.2,a[b]==1.0"),
        ("inferenceVersion", "1.8.2", "CUSTOM_BLOCKS_INFERENCE_VERSION=1.8.2"),
        ("torch", "cpu", "CUSTOM_BLOCKS_TORCH=cpu"),
    ],
)  # fmt: skip
def test_a_setting_of_the_image_makes_another_image_that_the_app_uses(
    monkeypatch: pytest.MonkeyPatch, key: str, value: object, setting: str
) -> None:
    before, after = deploy(monkeypatch), deploy(monkeypatch, **{key: value})
    variable, _, text = setting.partition("=")
    assert after.the("Image").inputs["settings"][variable] == text
    assert after.the("Image").inputs["tag"] != before.the("Image").inputs["tag"]
    assert after.the("App").inputs["imageTag"] == after.the("Image").inputs["tag"]
    assert after.the("App").inputs["settings"] == before.the("App").inputs["settings"]


def test_an_executor_gets_the_stacks_variables_as_modal_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch, executorEnv={"MODE": "fast"}, executorSecrets={"KEY": "s"})
    assert {secret.name: secret.inputs["values"] for secret in made.of("Secret")} == {
        "custom-blocks-env": {"MODE": "fast"},
        "custom-blocks-secrets": {"KEY": "s"},
    }
    assert made.the("App").inputs["secrets"] == ["custom-blocks-env", "custom-blocks-secrets"]
    assert deploy(monkeypatch).the("App").inputs.get("secrets", []) == []


def test_what_a_server_needs_is_in_one_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODAL_SERVER_URL", "http://127.0.0.1:9171")
    made = deploy(
        monkeypatch, anonymous="allow", strictVersion="true", timeout="40", serverEnv={"PORT": "9001"}, environment="eu"
    )
    assert made.outputs["serverEnv"] == {
        "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "False",
        "CUSTOM_BLOCKS_INFERENCE_VERSION": FACTS.versions["inference"],
        "CUSTOM_BLOCKS_STARTUP_TIMEOUT_SECONDS": str(FACTS.defaults["startup_timeout_seconds"]),
        "CUSTOM_BLOCKS_STRICT_VERSION": "true",
        "CUSTOM_BLOCKS_TIMEOUT_SECONDS": "40",
        "MODAL_ALLOW_ANONYMOUS_EXECUTION": "True",
        "MODAL_ENVIRONMENT": "eu",
        "MODAL_SERVER_URL": "http://127.0.0.1:9171",
        "PORT": "9001",
        "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "modal",
        "WORKFLOWS_PLUGINS": "modal_app.server.plugin",
    }
    assert made.outputs["serverUrl"] == "http://127.0.0.1:9171"
    assert made.outputs["anonymous"] == "allow"


def test_wrong_settings_register_nothing_and_are_named_all_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    with pytest.raises(pulumi.RunError) as raised:
        deploy(monkeypatch, timeout="soon", network="all")
    assert str(raised.value).splitlines() == [
        "stack staging: 2 settings are wrong, nothing was touched",
        "  network: 'all' must be one of none, egress",
        "  timeout: 'soon' must be a whole number from 1 to 86400 (s)",
    ]


def test_without_credentials_a_stack_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "PULUMI_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(pulumi.RunError, match=r"(?s)stack staging needs credentials.*modal token new.*MODAL_TOKEN_ID"):
        run("staging")


def test_the_local_stack_never_reaches_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pulumi.RunError, match="MODAL_SERVER_URL"):
        deploy(monkeypatch, "local")
