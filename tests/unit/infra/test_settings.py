"""A stack's settings: read into types, or refused with every problem, each with key, value and what is allowed."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.app_facts import ROOT, app_facts
from infra.keys import app_keys
from infra.settings import PROJECT, Settings, SettingsError, check_stack_file, main, read_settings, stack_path
from infra.stack_file import read_stack_file

FACTS = app_facts()
STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))


def read(secret: tuple[str, ...] = (), **values: Any) -> Settings:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return read_settings("staging", texts, secret, FACTS)


def problems(secret: tuple[str, ...] = (), **values: Any) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        read(secret, **values)
    return raised.value.problems


def test_the_defaults_are_those_of_the_app() -> None:
    settings = read()
    assert settings.app["timeout_seconds"] == FACTS.defaults["timeout_seconds"]
    assert settings.app["memory_mib"] is None
    assert settings.image_variables["CUSTOM_BLOCKS_INFERENCE_VERSION"] == FACTS.versions["inference"]
    assert settings.image_tag is None


def test_the_environment_is_named_as_the_stack_unless_it_says_otherwise() -> None:
    assert read().environment == "staging"
    assert read(environment="eu").environment == "eu"


def test_values_have_their_types() -> None:
    settings = read(
        timeout="40", cpu="0.5", packages=["shapely==2.1.2"], anonymous="allow", protect="true", rotation="3"
    )
    assert settings.app["timeout_seconds"] == 40
    assert settings.app["cpu"] == 0.5
    assert settings.app["packages"] == ("shapely==2.1.2",)
    assert settings.anonymous is True
    assert settings.protect is True
    assert settings.rotation == 3


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("timeout", "soon", "timeout: 'soon' must be a whole number from 1 to 86400 (s)"),
        ("timeout", "0", "timeout: '0' must be a whole number from 1 to 86400 (s)"),
        ("timeout", "", "timeout: '' must be a whole number from 1 to 86400 (s)"),
        ("memory", "1.5", "memory: '1.5' must be a whole number from 128 to 344064 (MiB), or 0 (not set)"),
        ("cpu", "0.01", "cpu: '0.01' must be a number from 0.125 to 64 (cores), or '' (not set)"),
        ("region", "US!", "region: 'US!' must be the name of a region, such as us-central1 or eu"),
        ("network", "all", "network: 'all' must be one of none, egress"),
        ("anonymous", "yes", "anonymous: 'yes' must be one of allow, refuse"),
        ("protect", "True", "protect: 'True' must be true or false"),
        ("rotation", "0", "rotation: '0' must be a whole number from 1 to 1000000"),
        ("environment", "a/b", "environment: 'a/b' must be letters, digits, '_' and '-', 32 at most"),
        ("packages", "shapely", "packages: 'shapely' must be a list without repetitions, each a package with its exact "
         "version, such as shapely==2.1.2"),
        ("packages", ["a==1", "a==1"], "packages: '[\"a==1\", \"a==1\"]' must be a list without repetitions, each a "
         "package with its exact version, such as shapely==2.1.2"),
        ("regoin", "eu", "regoin: is no setting; did you mean region?"),
        ("executorEnv", "A=1", "executorEnv: must be a map from variables' names to texts (quote numbers)"),
        ("executorEnv", {"A": 1}, "executorEnv: A: must be text; quote numbers, true and false"),
        ("executorEnv", {"1A": "x"}, "executorEnv: '1A': a variable's name is letters, digits and '_'"),
        ("executorEnv", {"MODAL_TOKEN_ID": "x"}, "executorEnv: MODAL_TOKEN_ID is Modal's or the app's own: MODAL_*, "
         "CUSTOM_BLOCKS_*, PULUMI_* are"),
        ("serverEnv", {"MODAL_ENVIRONMENT": "x"}, "serverEnv: MODAL_ENVIRONMENT is set by the stack itself"),
        ("serverEnv", {"CUSTOM_BLOCKS_TIMEOUT_SECONDS": "9"}, "serverEnv: CUSTOM_BLOCKS_TIMEOUT_SECONDS is set by the "
         "stack itself"),
        ("serverEnv", {"CUSTOM_BLOCKS_RESULT_BITES": "9"}, "serverEnv: CUSTOM_BLOCKS_RESULT_BITES is no setting of the "
         "server; docs/configuration.md lists them"),
        ("serverEnv", {"CUSTOM_BLOCKS_RESULT_BYTES": "many"}, "serverEnv: CUSTOM_BLOCKS_RESULT_BYTES: 'many' must be a "
         "whole number of at least 1 (bytes)"),
        ("serverImages", "true", "serverImages: 'true' must be one of none, cpu, gpu, both"),
        ("serverTorch", "cuda", "serverTorch: 'cuda' must be one of cpu, default"),
        ("serverRegistry", "ghcr.io/Acme", "serverRegistry: 'ghcr.io/Acme' must be a registry with the path in it, "
         "such as ghcr.io/acme, in lower case, or '' (not set)"),
        ("serverRegistry", "ghcr.io/acme", "serverRegistry: no image is built that could be pushed: set serverImages "
         "to cpu, gpu or both"),
        ("serverBase", "python 3.11", "serverBase: 'python 3.11' must be an image with tag or digest, or '' (not set)"),
        ("executorSecrets", {"KEY": "x"}, "executorSecrets: stands in plain text; encrypt it: pulumi config set "
         "--secret --path 'executorSecrets.KEY'"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_what_is_allowed(key: str, value: Any, problem: str) -> None:
    assert problems(**{key: value}) == [problem]


def test_all_problems_come_at_once() -> None:
    found = problems(timeout="soon", network="all", colour="red", serverImages="true")
    assert [problem.split(":")[0] for problem in found] == ["colour", "network", "serverImages", "timeout"]
    with pytest.raises(SettingsError, match="stack staging: 4 settings are wrong, nothing was touched"):
        read(timeout="soon", network="all", colour="red", serverImages="true")


def test_no_value_of_a_secret_is_shown() -> None:
    for values in ({"executorSecrets": {"A": "canary", "1": "canary"}}, {"executorSecrets": "canary"}):
        assert "canary" not in str(problems(**values))
    settings = read(
        ("executorSecrets", "serverSecrets"), executorSecrets={"A": "canary"}, serverSecrets={"B": "canary"}
    )
    assert "canary" not in repr(settings)


def test_what_cannot_be_together_is_refused() -> None:
    both = problems(("executorSecrets",), executorEnv={"A": "1"}, executorSecrets={"A": "2"})
    assert both == ["executorEnv: A is in executorSecrets too"]
    promoted = problems(imageTag="staging/app:1", packages=["shapely==2.1.2"])
    assert promoted == [
        "packages: must be [] beside imageTag: a published image has the packages that it was built with"
    ]


def test_an_empty_value_leaves_the_choice_to_modal() -> None:
    settings = read(cloud="", memory="0", cpu="", maxContainers="0", bufferContainers="0", imageTag="")
    given = {"CUSTOM_BLOCKS_CLOUD", "CUSTOM_BLOCKS_MEMORY_MIB", "CUSTOM_BLOCKS_CPU", "CUSTOM_BLOCKS_MAX_CONTAINERS"}
    assert not given & settings.definition_variables.keys()


def test_every_setting_of_the_deployed_app_is_a_stack_key() -> None:
    """Secrets apart, which the stack makes of its variables."""
    app = {name for name, said in FACTS.allowed.items() if said["group"] == "app"}
    assert app - set(app_keys(FACTS).values()) == {"secrets"}


@pytest.mark.parametrize("stack", STACKS)
def test_the_stacks_of_this_repository_are_right(stack: str) -> None:
    assert main([stack]) == 0


def test_the_stacks_are_there_and_production_is_protected() -> None:
    assert {"local", "staging", "production"} <= set(STACKS)
    assert read_stack_file(stack_path("production"), PROJECT).values["protect"] == "true"
    assert read_stack_file(stack_path("local"), PROJECT).values["environment"] == "main"


def test_a_stacks_file_is_checked_without_pulumi(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "Pulumi.eu.yaml"
    file.write_text(
        "config:\n"
        "  inference-custom-blocks:timeout: soon\n"
        "  inference-custom-blocks:packages: [shapely]\n"
        "  inference-custom-blocks:serverSecrets:\n"
        "    A: {secure: v1:abc}\n"
        "    B: canary\n"
        "  other:colour: red\n"
    )
    assert main(["eu", "--file", str(file)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("stack eu: 3 settings are wrong, nothing was touched\n")
    assert "timeout: 'soon' must be" in said
    assert "packages: " in said
    assert "serverSecrets: B stands in plain text; encrypt it: pulumi config set --secret" in said
    assert "canary" not in said


def test_what_is_encrypted_as_a_whole_is_left_to_the_program(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.eu.yaml"
    file.write_text("config:\n  inference-custom-blocks:serverSecrets:\n    secure: v1:abc\n")
    check_stack_file(file, "eu", FACTS)


def test_a_stack_without_a_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere"]) == 1
    assert "Pulumi.nowhere.yaml can't be read" in capsys.readouterr().err


def test_server_images_hold_the_inference_that_is_pinned_for_them() -> None:
    assert read(serverImages="both").server_images == ("cpu", "gpu")
    assert read(serverImages="cpu", inferenceVersion=str(FACTS.versions["inference"])).server_images == ("cpu",)
    (problem,) = problems(serverImages="cpu", inferenceVersion="1.0.0")
    assert problem.startswith("inferenceVersion: '1.0.0' is not that of the server images: they hold ")


@pytest.mark.parametrize("base", ["python:3.11", "registry.example:5000/python", f"a/b:1@sha256:{'0' * 64}"])
def test_a_base_is_any_image(base: str) -> None:
    assert read(serverImages="cpu", serverBase=base).server_arguments["cpu"] == {"PYTHON_IMAGE": base}


def test_without_one_the_dockerfiles_own_is_taken() -> None:
    assert read(serverImages="both").server_arguments == {"cpu": {}, "gpu": {}}
