"""Images are pushed to a real registry, and read back from it: with credentials of Docker's own configuration alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from infra.server_images.build import Build, built_from
from infra.server_images.catalog import Source, arguments
from infra.server_images.engine import engine as connected
from infra.server_images.errors import ImageError
from infra.server_images.registry import digest_of, pinned, push
from tests.docker import registry
from tests.docker.images import build, tiny
from tests.docker.registry import Registry


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry.running(tmp_path_factory.mktemp("plain") / "registry") as running:
        yield running


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry.running(tmp_path_factory.mktemp("protected") / "registry", protected=True) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return tiny(tmp_path / "tiny")


@pytest.fixture
def name(engine: docker.DockerClient, source: Source, plain: Registry) -> Iterator[str]:
    """An image of the engine that is named as one of the registry."""
    yield from _built(engine, source, plain)


@pytest.fixture
def guarded(engine: docker.DockerClient, source: Source, protected: Registry) -> Iterator[str]:
    yield from _built(engine, source, protected)


def _built(engine: docker.DockerClient, source: Source, at: Registry) -> Iterator[str]:
    reference = f"{at.address}/acme/images:{uuid4().hex[:12]}"
    build(source, reference)
    yield reference
    engine.images.remove(reference, force=True)


def test_a_built_image_tells_what_it_was_built_from(engine: docker.DockerClient, source: Source, name: str) -> None:
    found = built_from(engine, name)
    assert found is not None
    assert found[1] == Build(source, arguments(source, {}), ()).hash()
    assert built_from(engine, f"{name}x") is None


def test_a_push_gives_the_digest_that_the_registry_has(engine: docker.DockerClient, plain: Registry, name: str) -> None:
    lines: list[str] = []
    digest = push(engine, name, lines.append)
    assert digest == plain.digest("acme/images", name.rpartition(":")[2])
    assert digest_of(engine, name) == digest
    assert any("Pushed" in line or "Layer already exists" in line for line in lines)


def test_the_pinned_name_brings_back_the_same_image(engine: docker.DockerClient, name: str) -> None:
    digest = push(engine, name, lambda _: None)
    image_id = engine.images.get(name).id
    engine.images.remove(name, force=True)
    pulled = engine.images.pull(pinned(name, digest))
    assert pulled.id == image_id
    engine.images.get(pinned(name, digest)).tag(name)


def test_what_the_registry_does_not_have_is_none_and_no_error(engine: docker.DockerClient, plain: Registry) -> None:
    assert digest_of(engine, f"{plain.address}/acme/nothing:1") is None


def test_an_image_that_was_deleted_there_is_gone(engine: docker.DockerClient, plain: Registry, name: str) -> None:
    digest = push(engine, name, lambda _: None)
    plain.delete("acme/images", digest)
    assert digest_of(engine, name) is None


def test_a_registry_that_does_not_answer_is_an_error_and_not_an_absence(
    engine: docker.DockerClient, source: Source
) -> None:
    reference = f"127.0.0.1:9/acme/images:{uuid4().hex[:12]}"
    build(source, reference)
    try:
        with pytest.raises(ImageError, match=r"127\.0\.0\.1:9/acme/images:.* can't be"):
            digest_of(engine, reference)
        with pytest.raises(ImageError, match=r"127\.0\.0\.1:9/acme/images:.* can't be"):
            push(engine, reference, lambda _: None)
    finally:
        engine.images.remove(reference, force=True)


def test_the_login_of_the_docker_command_line_opens_a_protected_registry(
    protected: Registry, guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(protected.docker_config(tmp_path / "config")))
    with connected() as client:
        digest = push(client, guarded, lambda _: None)
        assert digest_of(client, guarded) == digest
    assert protected.digest("acme/images", guarded.rpartition(":")[2]) == digest


@pytest.mark.parametrize("password", [None, "canary-wrong-password"])
def test_without_the_right_one_it_says_to_log_in_and_shows_no_password(
    protected: Registry, guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    config = protected.docker_config(tmp_path / "config", password) if password else tmp_path
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    with connected() as client:
        asking: list[Callable[[], object]] = [
            lambda: digest_of(client, guarded),
            lambda: push(client, guarded, lambda _: None),
        ]
        for ask in asking:
            with pytest.raises(ImageError) as raised:
                ask()
            assert f"`docker login {protected.address}`" in str(raised.value)
            assert "canary" not in str(raised.value)


def test_what_a_progress_line_raises_ends_the_push(engine: docker.DockerClient, name: str) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(engine, name, stop)
