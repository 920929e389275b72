"""The images that a stack asks for, what they are made of, and how they are run."""

import logging

import pulumi
import pytest

from infra.app_facts import app_facts
from infra.components.server_images import run_command
from infra.server_images.catalog import IMAGES
from infra.server_images.context import file_hashes, shown
from tests.unit.infra.deployment import Deployment, deploy

VERSION = app_facts().versions["inference"]
BASE = f"python:3.11@sha256:{'0' * 64}"


def arguments(made: Deployment, name: str = "cpu") -> dict[str, str]:
    (image,) = (image for image in made.of("ServerImage") if image.name == f"server-{name}")
    found: dict[str, str] = image.inputs["buildArgs"]
    return found


def test_none_is_built_unless_the_stack_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch)
    assert made.of("ServerImage") == []
    assert "serverImages" not in made.outputs


@pytest.mark.parametrize(("asked", "built"), [("cpu", ["cpu"]), ("gpu", ["gpu"]), ("both", ["cpu", "gpu"])])
def test_those_that_it_asks_for_are(monkeypatch: pytest.MonkeyPatch, asked: str, built: list[str]) -> None:
    made = deploy(monkeypatch, serverImages=asked)
    assert sorted(image.name for image in made.of("ServerImage")) == [f"server-{name}" for name in built]
    assert sorted(made.outputs["serverImages"]) == built


def test_an_image_is_named_by_what_it_holds_and_says_what_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    image = deploy(monkeypatch, serverImages="cpu").the("ServerImage")
    name, _, tag = image.inputs["name"].partition(":")
    assert name == "inference-custom-blocks"
    assert tag == f"cpu-{VERSION}-{image.inputs['sourceHash'][:12]}"
    assert image.inputs["files"] == shown(file_hashes(IMAGES["cpu"]))
    assert image.inputs["dockerfile"] == "docker/Dockerfile.onnx.cpu"
    assert image.inputs["push"] is False


def test_it_is_pushed_where_the_stack_says(monkeypatch: pytest.MonkeyPatch) -> None:
    here = deploy(monkeypatch, serverImages="cpu")
    there = deploy(monkeypatch, serverImages="cpu", serverRegistry="registry.example:5000/acme")
    name = here.the("ServerImage").inputs["name"]
    assert there.the("ServerImage").inputs["name"] == f"registry.example:5000/acme/{name}"
    assert there.the("ServerImage").inputs["push"] is True
    assert there.the("ServerImage").inputs["layers"] == "registry.example:5000/acme/inference-custom-blocks:cpu-layers"
    assert "layers" not in here.the("ServerImage").inputs


def test_base_and_torch_are_arguments_of_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    before = arguments(deploy(monkeypatch, serverImages="cpu"))
    made = deploy(monkeypatch, serverImages="both", serverBase=BASE, serverTorch="default")
    assert arguments(made) == {**before, "PYTHON_IMAGE": BASE, "TORCH_BACKEND": ""}
    assert arguments(made, "gpu")["PYTHON_IMAGE"] == BASE
    assert before["TORCH_BACKEND"] == "cpu"


@pytest.mark.parametrize("key", ["serverEnv", "serverSecrets"])
def test_a_servers_variables_are_no_part_of_its_image(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    before = deploy(monkeypatch, serverImages="cpu").the("ServerImage")
    made = deploy(monkeypatch, serverImages="cpu", **{key: {"PASSWORD": "canary"}})
    assert made.the("ServerImage") == before
    assert "canary" not in str(made.outputs["serverImages"])


def test_it_can_give_way_to_the_next_one_and_stays_where_the_stack_is_protected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for protect in (False, True):
        image = deploy(monkeypatch, serverImages="cpu", protect=protect).the("ServerImage")
        assert (image.protect, image.retain) == (False, protect)


def test_the_outputs_say_how_it_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    image = deploy(monkeypatch, serverImages="cpu").outputs["serverImages"]["cpu"]
    assert image == {
        "reference": "acme/images@sha256:abc",
        "imageId": "sha256:abc",
        "repoDigest": "acme/images@sha256:abc",
        "run": run_command("acme/images@sha256:abc", is_local=False),
    }
    assert "--env-file server.env --publish 9001:9001" in image["run"]
    local = run_command("a:1", is_local=True)
    assert "--network host --env HOST=127.0.0.1 " in local, "nobody else's to reach"
    assert "--publish" not in local


def test_an_unreadable_dockerfile_is_said_before_anything_is_declared(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    missing = {name: type(source)(source.dockerfile.with_name("Missing")) for name, source in IMAGES.items()}
    monkeypatch.setattr("infra.components.server_images.planned.__defaults__", (missing,))
    with pytest.raises(pulumi.RunError, match="docker/Missing can't be read"):
        deploy(monkeypatch, serverImages="cpu")
