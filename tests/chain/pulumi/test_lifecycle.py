"""A stack from its first deployment to its last, by the real CLI on a real control plane."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.chain.pulumi.conftest import APP, Deployment, NewDeployment

pytestmark = pytest.mark.timeout(1800)
DRIFT = 7


def definition(deployment: Deployment) -> dict[str, str]:
    """The settings that the deployed app has, as the state says."""
    settings: dict[str, str] = deployment.resources("App")[0]["inputs"]["settings"]
    return settings


def history(deployment: Deployment) -> list[str]:
    """Versions of the app at Modal, the newest first."""
    rows = json.loads(deployment.ask_modal("app", "history", APP, "--env", deployment.output("environment"), "--json"))
    return [row["version"] for row in rows]


def test_a_deployment_makes_what_the_stack_says_and_a_second_one_changes_nothing(deployment: Deployment) -> None:
    before = deployment.file.read_text()
    first = deployment.run("up")
    assert re.search(r"\+ \d+ created", first)
    assert deployment.inventory() == deployment.expected()
    assert deployment.inventory()["apps"]["main"] == [APP]
    second = deployment.run("up")
    assert re.search(r"\d+ unchanged", second)
    assert "created" not in second
    assert "updated" not in second
    assert history(deployment) == ["v1"]
    assert deployment.run("drift")
    assert deployment.file.read_text() == before, "the tree stays as it was committed"
    passphrase = deployment.backend / "passphrase"
    assert passphrase.stat().st_mode & 0o777 == 0o600


def test_a_changed_setting_is_previewed_and_then_deployed(deployment: Deployment) -> None:
    deployment.run("up")
    deployment.configure(timeout=33)
    assert "[diff: ~settings]" in deployment.run("preview")
    assert re.search(r'CUSTOM_BLOCKS_TIMEOUT_SECONDS *: "20" => "33"', deployment.run("preview", "--diff"))
    assert definition(deployment)["CUSTOM_BLOCKS_TIMEOUT_SECONDS"] == "20"
    deployment.run("up")
    assert definition(deployment)["CUSTOM_BLOCKS_TIMEOUT_SECONDS"] == "33"
    assert deployment.output("appVersion") == 2
    assert history(deployment) == ["v2", "v1"]


def test_another_environment_replaces_what_is_in_it(deployment: Deployment) -> None:
    deployment.configure(environment="first", executorEnv={"GREETING": "hello"})
    deployment.run("up")
    assert deployment.inventory()["secrets"]["first"] == ["custom-blocks-env"]
    deployment.configure(environment="second")
    deployment.run("up")
    found = deployment.inventory()
    assert found == deployment.expected()
    assert found["environments"] == ["main", "second"]
    assert found["apps"]["second"] == [APP]


def test_wrong_settings_are_refused_all_at_once_before_anything_is_touched(deployment: Deployment) -> None:
    deployment.configure(timeout="soon", network="everything")
    said = deployment.run("up", status=1)
    assert "timeout: 'soon' must be" in said
    assert "network" in said
    assert deployment.inventory()["apps"] == {"main": []}


def test_a_stack_without_a_file_is_refused(deployment: Deployment) -> None:
    deployment.file.unlink()
    assert "Pulumi.local.yaml" in deployment.run("up", status=1)
    assert deployment.inventory()["apps"] == {"main": []}


def test_drift_is_told_by_the_exit_status_and_the_next_refreshing_deployment_repairs_it(deployment: Deployment) -> None:
    deployment.configure(executorEnv={"GREETING": "hello"})
    deployment.run("up")
    deployment.ask_modal("secret", "delete", "custom-blocks-env", "--yes", "--env", "main")
    said = deployment.run("drift", status=DRIFT)
    assert "make deploy REFRESH=1 STACK=local" in said
    deployment.run("up", "--refresh")
    assert deployment.run("drift")
    assert deployment.inventory() == deployment.expected()


def test_refresh_takes_over_what_is_gone(deployment: Deployment) -> None:
    deployment.run("up")
    deployment.ask_modal("app", "stop", APP, "--yes", "--env", "main")
    assert deployment.resources("App")
    deployment.run("refresh")
    assert not deployment.resources("App")
    deployment.run("up")
    assert deployment.inventory() == deployment.expected()
    assert deployment.run("drift")


def test_what_the_state_forgot_is_imported(deployment: Deployment) -> None:
    deployment.run("up")
    (app,) = deployment.resources("App")
    deployment.run("pulumi", "state", "delete", app["urn"], "--yes")
    assert not deployment.resources("App")
    imports = deployment.home / "imports.json"
    resource = {"type": "modal:index:App", "name": APP, "id": app["id"], "parent": "executor"}
    imports.write_text(json.dumps({"nameTable": {"executor": app["parent"]}, "resources": [resource]}))
    options = ("--yes", "--skip-preview", "--generate-code=false", "--protect=false")
    deployment.run("pulumi", "import", "--file", str(imports), *options)
    (imported,) = deployment.resources("App")
    assert imported["id"] == app["id"]
    assert imported["outputs"]["appId"] == app["outputs"]["appId"]
    deployment.run("up")
    assert deployment.run("drift")
    assert deployment.inventory() == deployment.expected()


def test_a_rollback_is_live_at_once_and_the_next_deployment_converges(deployment: Deployment) -> None:
    deployment.run("up")
    deployment.configure(timeout=33)
    deployment.run("up")
    deployment.run("rollback")
    assert history(deployment)[0] == "v3"
    assert deployment.run("drift", status=DRIFT)
    deployment.run("up")
    assert history(deployment)[0] == "v4"
    assert deployment.run("drift")


def test_a_rotation_makes_new_tokens_and_leaves_those_of_the_running_server(deployment: Deployment) -> None:
    before = deployment.file.read_text()
    deployment.run("up")
    (old,) = deployment.resources("ServiceUser")
    deployment.run("rotate")
    tokens = {item["outputs"]["tokenId"] for item in deployment.resources("ServiceUser")}
    assert old["outputs"]["tokenId"] in tokens
    assert len(tokens) == 2
    assert deployment.inventory() == deployment.expected()
    deployment.run("rotate")
    tokens = {item["outputs"]["tokenId"] for item in deployment.resources("ServiceUser")}
    assert old["outputs"]["tokenId"] not in tokens
    assert len(tokens) == 2
    assert deployment.inventory() == deployment.expected()
    assert deployment.file.read_text() == before, "the tree stays as it was committed"
    assert "unchanged" in deployment.run("pulumi", "preview", "--expect-no-changes")


def test_destroy_leaves_nothing_and_a_second_one_says_so(deployment: Deployment) -> None:
    deployment.configure(environment="gone", executorEnv={"GREETING": "hello"})
    assert "nothing to destroy" in deployment.run("destroy")
    deployment.run("up")
    deployment.run("destroy")
    found = deployment.inventory()
    assert found["environments"] == ["main"]
    assert found["service users"] == found["proxy tokens"] == found["apps"]["main"] == []
    deployment.run("up")
    assert deployment.inventory() == deployment.expected()


def test_a_control_plane_that_was_reset_gets_everything_anew(
    new_deployment: NewDeployment, start_modal: object
) -> None:
    deployment = new_deployment()
    deployment.run("up")
    deployment.modal = start_modal().client_env()  # type: ignore[operator]
    deployment.run("up")
    assert deployment.inventory() == deployment.expected()
    assert deployment.run("drift")


def test_a_stack_that_was_never_deployed_has_no_drift_to_tell_of(deployment: Deployment) -> None:
    assert "make deploy STACK=local" in deployment.run("drift", status=6)


def test_the_record_says_what_is_deployed_and_what_to_do_next(deployment: Deployment, tmp_path: Path) -> None:
    record = tmp_path / "deployed"
    said = deployment.run("up", "--record", str(record))
    assert "Outputs:" not in said
    text = record.read_text()
    assert deployment.output("appUrl") in text
    assert "make server-env" in text


def test_a_server_is_given_a_token_that_reaches_its_environment_only(deployment: Deployment, tmp_path: Path) -> None:
    deployment.configure(environment="served")
    deployment.run("up")
    printed = deployment.env_file()
    assert "MODAL_ENVIRONMENT=served\n" in printed
    assert deployment.modal["MODAL_TOKEN_SECRET"] not in printed
    assert "as-" not in printed
    file = tmp_path / "server.env"
    assert "2 of them secret" in deployment.env_file("--file", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert "MODAL_TOKEN_SECRET=as-" in file.read_text()
    assert deployment.env_file("--show-secrets").splitlines()[1:] == file.read_text().splitlines()[1:]
    variables = deployment.env_file("--run", "env")
    assert "MODAL_ENVIRONMENT=served\n" in variables
    assert "PULUMI_" not in variables
    listing = (sys.executable, "-m", "modal", "app", "list", "--json", "--env")
    assert APP in deployment.env_file("--run", *listing, "served")
    assert "main" in deployment.env_file("--run", *listing, "main", status=1)
