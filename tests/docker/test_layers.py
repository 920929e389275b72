"""Layers that a registry keeps: what an engine without any takes from there, and what it builds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from infra.server_images import __main__ as command
from infra.server_images.catalog import IMAGES, REPOSITORY, Source
from tests.docker import registry
from tests.docker.registry import Registry

DOCKERFILE = """\
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE} AS builder
COPY content /content
RUN cat /proc/sys/kernel/random/uuid > /made
FROM ${PYTHON_IMAGE}
COPY --from=builder /made /made
COPY code /code
"""
"""As the real ones are: what takes long is in a stage of its own. No two runs of it make the same."""
TAG = f"{REPOSITORY}:layers-test"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry.running(tmp_path_factory.mktemp("kept") / "registry") as running:
        yield running


@pytest.fixture
def source(engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """What the command builds as the image `cpu`."""
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "Dockerfile.dockerignore").write_text("*\n!content\n!code\n")
    for name in ("content", "code"):
        (tmp_path / name).write_text(uuid4().hex)
    source = Source(Path("Dockerfile"), tmp_path)
    monkeypatch.setitem(IMAGES, "cpu", source)
    yield source
    for image in engine.images.list(filters={"reference": TAG}):
        engine.images.remove(str(image.id), force=True)


@pytest.fixture
def build(engine: docker.DockerClient, base: str, capfd: pytest.CaptureFixture[str]) -> "Build":
    return Build(engine, base, capfd)


class Build:
    """Builds as `make images` does, on an engine that is made to have nothing of the builds before."""

    def __init__(self, engine: docker.DockerClient, base: str, capfd: pytest.CaptureFixture[str]) -> None:
        self._engine, self._base, self._capfd = engine, base, capfd

    def __call__(self, *options: str) -> tuple[str, str]:
        """What the step that takes long made, and the build's log."""
        arguments = ["build", "cpu", "--tag", TAG, "--arg", f"PYTHON_IMAGE={self._base}", *options]
        with self._forgotten():
            status = command.main(arguments)
            log = self._capfd.readouterr().err
            assert status == 0, log
            ran = self._engine.containers.run(TAG, ["cat", "/made"], remove=True, network_disabled=True)
        return ran.decode().strip(), log

    @contextmanager
    def _forgotten(self) -> Iterator[None]:
        """What is built meanwhile is gone at the end, from the builder too; what others built stays."""
        before = self._records()
        yield
        self._engine.images.remove(TAG, force=True)
        while mine := self._records() - before:
            for record in mine:
                self._engine.api.prune_builds({"id": record}, all=True)  # type: ignore[arg-type] # has no id
            assert self._records() - before < mine, "the builder keeps them"

    def _records(self) -> set[str]:
        return {record["ID"] for record in self._engine.df()["BuildCache"] or []}


def test_an_engine_without_layers_takes_those_of_the_registry_and_none_without_them(
    build: Build, kept: Registry, source: Source
) -> None:
    layers = ("--layers", f"{kept.address}/acme")
    first, log = build(*layers, "--push-layers")
    assert "CACHED" not in _steps(log)["RUN"], "there were none"
    assert kept.digest(f"acme/{REPOSITORY}", "cpu-layers")

    (source.context / "code").write_text("changed")
    again, log = build(*layers)
    assert again == first
    assert "CACHED" in _steps(log)["RUN"]
    assert "CACHED" not in _steps(log)["COPY code"]
    assert build()[0] != first, "the engine has nothing of it by itself"

    (source.context / "content").write_text("changed")
    assert build(*layers)[0] != first, "what it is made from is another"


@pytest.mark.usefixtures("source")
def test_a_registry_that_does_not_answer_keeps_no_image_from_being_built(build: Build) -> None:
    made, log = build("--layers", "127.0.0.1:9/acme")
    assert made
    assert f"127.0.0.1:9/acme/{REPOSITORY}:cpu-layers" in log


def _steps(log: str) -> dict[str, str]:
    """By the beginning of an instruction, how the builder's log goes on about it."""
    lines = log.splitlines()
    found = {}
    for beginning in ("RUN", "COPY code"):
        number = next(line.split()[0] for line in lines if f"] {beginning}" in line)
        found[beginning] = "\n".join(line for line in lines if line.split()[:1] == [number])
    return found
