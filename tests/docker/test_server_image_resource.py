"""The ServerImage resource on a real engine: its life over gRPC, and stacks that build and push with the real CLI."""

import base64
import json
import os
import re
import select
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
from docker.errors import ImageNotFound
from google.protobuf import empty_pb2

from infra.doctor import image_builder
from infra.server_images.build import LABEL, Build
from infra.server_images.catalog import Source, arguments
from infra.server_images.context import file_hashes, shown
from tests.chain.pulumi.conftest import (  # noqa: F401 - fixtures
    Deployment,
    NewDeployment,
    deployment,
    new_deployment,
    pulumi_cli,
    start_modal,
)
from tests.docker import registry
from tests.docker.images import DOCKERFILE, remove_all, tiny
from tests.docker.registry import PASSWORD, USER, Registry
from tests.unit.infra.modal_provider import driver
from tests.unit.infra.modal_provider.driver import Provider, Refused, State

DRIFT = 7
CPU = Path("docker/Dockerfile.onnx.cpu")


@pytest.fixture(scope="module")
def registry_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One that asks for credentials."""
    with registry.running(tmp_path_factory.mktemp("registry") / "it", protected=True) as running:
        yield running


@pytest.fixture(scope="module")
def provider(
    engine: docker.DockerClient, registry_: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Provider]:
    """It has the engine by DOCKER_HOST and the login by DOCKER_CONFIG, and no Modal."""
    config = registry_.docker_config(tmp_path_factory.mktemp("docker") / "config")
    variables = {
        "DOCKER_CONFIG": str(config),
        "MODAL_SERVER_URL": "http://127.0.0.1:9",
        "PULUMI_CONFIG_PASSPHRASE": "canary-passphrase",
    }
    with driver.provider(variables) as running:
        yield running
    remove_all(engine)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return tiny(tmp_path / "tiny")


def inputs(source: Source, name: str = "tiny-test:1", **changes: Any) -> dict[str, Any]:
    values = arguments(source, {})
    return {
        "name": name,
        "context": str(source.context),
        "dockerfile": str(source.dockerfile),
        "buildArgs": values,
        "files": shown(file_hashes(source)),
        "sourceHash": Build(source, values, ()).hash(),
        **changes,
    }


def digest_there(registry_: Registry, state: State) -> str:
    return registry_.digest("acme/tiny", state.id.rpartition(":")[2])


@pytest.mark.usefixtures("engine")
def test_the_doctor_finds_the_engine_and_what_builds_on_it() -> None:
    finding = image_builder()
    assert finding.good, finding.detail
    assert "builds by `" in finding.detail


def test_it_is_built_with_its_log_as_progress_and_read_back(
    engine: docker.DockerClient, provider: Provider, source: Source
) -> None:
    state = provider.create("ServerImage", inputs(source))
    image = engine.images.get("tiny-test:1")
    assert state.outputs["imageId"] == image.id
    assert state.outputs["reference"] == "tiny-test:1"
    assert state.outputs["repoDigest"] == ""
    assert image.labels == image.labels | {LABEL: state.inputs["sourceHash"], "torch": "cpu"}
    assert any("COPY content /content" in line for line in provider.engine.seen)
    read = provider.read(state)
    assert read is not None
    assert (read.inputs, read.outputs) == ({**state.inputs, "push": False}, state.outputs)


def test_what_is_built_already_is_not_built_again(provider: Provider, source: Source) -> None:
    first = provider.create("ServerImage", inputs(source))
    again = provider.create("ServerImage", inputs(source))
    assert again.outputs == first.outputs
    assert provider.engine.seen[-1] == "is built already"


def test_files_that_changed_since_the_program_ran_are_not_built(provider: Provider, source: Source) -> None:
    given = inputs(source)
    (source.context / "content").write_text("changed meanwhile")
    with pytest.raises(Refused, match="changed since the program ran: deploy again"):
        provider.create("ServerImage", given)


def test_another_image_under_its_name_is_drift_and_the_update_builds_it_again(
    engine: docker.DockerClient, provider: Provider, source: Source, tmp_path: Path
) -> None:
    state = provider.create("ServerImage", inputs(source))
    other = provider.create("ServerImage", inputs(tiny(tmp_path / "other"), "tiny-test:other"))
    engine.images.get("tiny-test:other").tag("tiny-test:1")
    read = provider.read(state)
    assert read is not None
    assert read.inputs["sourceHash"] == f"(another image has this tag: {other.outputs['imageId']})"
    updated = provider.update(read, state.inputs)
    assert updated.outputs["imageId"] == engine.images.get("tiny-test:1").id != other.outputs["imageId"]
    assert engine.images.get("tiny-test:1").labels[LABEL] == state.inputs["sourceHash"]


def test_one_that_is_gone_leaves_the_state_and_deleting_it_is_no_error(
    engine: docker.DockerClient, provider: Provider, source: Source
) -> None:
    state = provider.create("ServerImage", inputs(source))
    engine.images.remove("tiny-test:1")
    assert provider.read(state) is None
    provider.delete(state)


def test_a_delete_takes_its_own_tag_back_and_no_other(
    engine: docker.DockerClient, provider: Provider, source: Source
) -> None:
    state = provider.create("ServerImage", inputs(source))
    engine.images.get("tiny-test:1").tag("tiny-test:kept")
    provider.delete(state)
    with pytest.raises(ImageNotFound):
        engine.images.get("tiny-test:1")
    assert engine.images.get("tiny-test:kept").id == state.outputs["imageId"]


def test_an_image_that_a_container_uses_stays_and_is_no_error(
    engine: docker.DockerClient, provider: Provider, source: Source
) -> None:
    state = provider.create("ServerImage", inputs(source))
    container = engine.containers.create("tiny-test:1", "nothing")
    try:
        provider.delete(state)
        assert "a container uses it: the engine keeps it" in provider.engine.seen
        assert engine.images.get("tiny-test:1").id == state.outputs["imageId"]
    finally:
        container.remove()


def test_a_build_that_fails_shows_the_end_of_its_log(provider: Provider, source: Source) -> None:
    source.path.write_text(DOCKERFILE.replace("COPY content", "COPY missing"))
    with pytest.raises(Refused, match=r"the build of Dockerfile failed with exit status \d+: .*missing"):
        provider.create("ServerImage", inputs(source))


def test_an_import_finds_it_and_what_it_was_built_from(provider: Provider, source: Source) -> None:
    state = provider.create("ServerImage", inputs(source))
    found = provider.adopt("ServerImage", state.id)
    assert found is not None
    assert found.inputs["sourceHash"] == state.inputs["sourceHash"]
    assert found.outputs["imageId"] == state.outputs["imageId"]
    assert provider.adopt("ServerImage", "tiny-test:nothing") is None


def test_a_pushed_one_has_the_digest_of_its_registry_and_is_what_that_has(
    engine: docker.DockerClient, provider: Provider, registry_: Registry, source: Source, tmp_path: Path
) -> None:
    name = f"{registry_.address}/acme/tiny:1"
    state = provider.create("ServerImage", inputs(source, name, push=True))
    digest = digest_there(registry_, state)
    assert state.outputs["repoDigest"] == state.outputs["reference"] == f"{registry_.address}/acme/tiny@{digest}"
    engine.images.remove(name, force=True)
    read = provider.read(state)
    assert read is not None, "what the engine forgot is still in the registry"
    assert (read.inputs, read.outputs) == (state.inputs, state.outputs)

    other = provider.create("ServerImage", inputs(tiny(tmp_path / "other"), name, push=True))
    read = provider.read(state)
    assert read is not None
    assert read.inputs["sourceHash"] == f"(another image has this tag: {digest_there(registry_, other)})"

    registry_.delete("acme/tiny", digest_there(registry_, other))
    assert provider.read(state) is None


def test_a_build_leaves_its_layers_in_the_registry_and_a_refusal_of_them_is_no_failure(
    engine: docker.DockerClient, provider: Provider, registry_: Registry, source: Source
) -> None:
    name, layers = (f"{registry_.address}/acme/tiny:{tag}" for tag in ("4", "layers"))
    state = provider.create("ServerImage", inputs(source, name, push=True, layers=layers))
    assert registry_.digest("acme/tiny", "layers") == digest_there(registry_, state)
    with pytest.raises(ImageNotFound):
        engine.images.get(layers)
    elsewhere = inputs(source, f"{registry_.address}/acme/tiny:5", push=True, layers="127.0.0.1:9/acme/tiny:layers")
    assert provider.create("ServerImage", elsewhere).outputs["repoDigest"]
    assert any("its layers aren't kept for the next build: 127.0.0.1:9" in line for line in provider.engine.seen)


def test_nothing_of_the_login_or_the_passphrase_is_in_what_pulumi_gets(
    provider: Provider, registry_: Registry, source: Source
) -> None:
    state = provider.create("ServerImage", inputs(source, f"{registry_.address}/acme/tiny:2", push=True))
    provider.delete(state)
    said = f"{state.properties} {provider.engine.seen} {provider.stderr}"
    assert registry_.address in said
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert not any(secret in said for secret in (PASSWORD, login, "canary-passphrase"))


def test_a_refused_push_says_to_log_in_and_the_image_is_there_for_the_next_try(
    engine: docker.DockerClient, registry_: Registry, source: Source, tmp_path: Path
) -> None:
    config = registry_.docker_config(tmp_path / "config", "canary-wrong")
    name = f"{registry_.address}/acme/tiny:3"
    with driver.provider({"DOCKER_CONFIG": str(config)}) as running:
        with pytest.raises(Refused, match=f"`docker login {registry_.address}`") as raised:
            running.create("ServerImage", inputs(source, name, push=True))
        assert "canary-wrong" not in str(raised.value)
        registry_.docker_config(tmp_path / "config")
        assert running.create("ServerImage", inputs(source, name, push=True)).outputs["repoDigest"]
        assert "is built already" in running.engine.seen
    engine.images.remove(name, force=True)


@contextmanager
def building(base: str, source: Source) -> Iterator[tuple[Provider, Future[State], int]]:
    """A provider whose build doesn't end, once it is at it, and a descriptor of its process on the engine."""
    token = uuid4().hex
    source.path.write_text(f"FROM {base.partition(': ')[0]}\nRUN token={token}; echo at $token; sleep 86400\n")
    given = inputs(source)
    with driver.provider({}) as running, ThreadPoolExecutor(1) as pool:
        call = pool.submit(running.create, "ServerImage", given)
        while f"at {token}" not in running.engine.lines.get(timeout=60).message:
            continue
        (shell,) = (path for path in Path("/proc").glob("[0-9]*/cmdline") if f"c\0token={token}" in read(path))
        descriptor = os.pidfd_open(int(shell.parent.name))
        try:
            yield running, call, descriptor
        finally:
            os.close(descriptor)


def read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""  # it ended meanwhile


def ended(descriptor: int) -> bool:
    """Whether the process ends, which the descriptor tells (pidfd_open(2))."""
    return bool(select.select([descriptor], [], [], 60)[0])


@pytest.mark.usefixtures("engine")
def test_a_cancelled_build_ends_on_the_engine_too(base: str, source: Source) -> None:
    with building(base, source) as (running, call, descriptor):
        running.stub.Cancel(empty_pb2.Empty())
        with pytest.raises(Refused, match="cancelled before it was done"):
            call.result(60)
        assert ended(descriptor)


@pytest.mark.usefixtures("engine")
def test_a_build_does_not_outlive_a_provider_that_is_killed(base: str, source: Source) -> None:
    with building(base, source) as (running, call, descriptor):
        running.process.kill()
        with pytest.raises(Refused):
            call.result(60)
        assert ended(descriptor)


@pytest.fixture
def stack(
    engine: docker.DockerClient,
    deployment: Deployment,  # noqa: F811
    registry_: Registry,
    tmp_path: Path,
) -> Iterator[Deployment]:
    """The stack `local` with a small Dockerfile in place of the CPU image's."""
    (deployment.tree / "docker").mkdir()
    (deployment.tree / CPU).write_text(DOCKERFILE.replace("COPY content /content", "COPY modal_app /app"))
    (deployment.tree / f"{CPU}.dockerignore").write_text("*\n!modal_app\n**/__pycache__\n")
    config = registry_.docker_config(tmp_path / "config")
    deployment.variables |= {"DOCKER_HOST": os.environ["DOCKER_HOST"], "DOCKER_CONFIG": str(config)}
    yield deployment
    remove_all(engine)


@pytest.mark.timeout(1800)
def test_a_stack_builds_pushes_says_why_it_changes_and_takes_back(
    engine: docker.DockerClient, stack: Deployment, registry_: Registry
) -> None:
    stack.run("up")
    assert stack.output("serverImages") is None, "unless it is asked for"

    stack.configure(serverImages="cpu", serverRegistry=f"{registry_.address}/acme")
    stack.run("up")
    (image,) = stack.resources("ServerImage")
    tag = image["id"].rpartition(":")[2]
    digest = registry_.digest("acme/inference-custom-blocks", tag)
    shown_output = stack.output("serverImages")["cpu"]
    assert shown_output["repoDigest"] == f"{registry_.address}/acme/inference-custom-blocks@{digest}"
    assert shown_output["imageId"] == engine.images.get(image["id"]).id
    assert shown_output["run"].endswith(shown_output["repoDigest"])
    assert PASSWORD not in json.dumps(stack.state())
    stack.run("drift")
    stack.run("preview", "--policies")

    (stack.tree / "modal_app" / "smoke" / "__init__.py").write_text('"""Changed."""\n')
    assert re.search(r"server-cpu .*replace.*\[diff: ~files,name,sourceHash\]", stack.run("preview"))
    assert re.search(r"~ modal_app/smoke/__init__.py *: \"\w{12}\" => \"\w{12}\"", stack.run("preview", "--diff"))
    stack.run("up")
    (changed,) = stack.resources("ServerImage")
    assert changed["id"] != image["id"]
    with pytest.raises(ImageNotFound):
        engine.images.get(image["id"])
    assert registry_.digest("acme/inference-custom-blocks", tag) == digest, "a registry keeps what it was given"

    registry_.delete(
        "acme/inference-custom-blocks",
        registry_.digest("acme/inference-custom-blocks", changed["id"].rpartition(":")[2]),
    )
    stack.run("drift", status=DRIFT)
    stack.run("up", "--refresh")
    stack.run("drift")

    stack.configure(serverImages="none", serverRegistry="")
    stack.run("up")
    assert stack.resources("ServerImage") == []
    with pytest.raises(ImageNotFound):
        engine.images.get(changed["id"])


@pytest.mark.timeout(1800)
def test_a_stack_without_an_engine_says_what_to_do_and_makes_good_later(
    engine: docker.DockerClient, stack: Deployment
) -> None:
    host = stack.variables["DOCKER_HOST"]
    stack.configure(serverImages="cpu")
    stack.variables["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
    assert "images are built on a Docker engine, and none answers at unix:///nonexistent" in stack.run("up", status=1)
    stack.variables["DOCKER_HOST"] = host
    stack.run("up")
    (image,) = stack.resources("ServerImage")
    assert engine.images.get(image["id"]).id == image["outputs"]["imageId"]
    stack.run("destroy")
