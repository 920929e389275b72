"""The command that builds an image."""

from dataclasses import replace
from pathlib import Path

import pytest

from infra.server_images.build import Build
from infra.server_images.catalog import Source
from infra.server_images.engine import Builder

BUILDER = Builder(("docker", "buildx", "build", "--load"), {})


@pytest.fixture
def build(tmp_path: Path) -> Build:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / ".dockerignore").write_text("*\n")
    return Build(Source(Path("Dockerfile"), tmp_path), {"B": "", "A": "1"}, ("images:cpu", "host/images:cpu"))


def test_it_names_the_image_and_what_it_is_built_from(build: Build) -> None:
    assert build.command(BUILDER, "abc", {}) == [
        *BUILDER.command, "--progress", "plain", "--file", "Dockerfile",
        "--label", "inference-custom-blocks.source=abc",
        "--tag", "images:cpu", "--tag", "host/images:cpu",
        "--build-arg", "A=1", "--build-arg", "B=", ".",
    ]  # fmt: skip


def test_the_machines_certificate_authorities_are_a_secret_of_the_build(build: Build, tmp_path: Path) -> None:
    bundle = tmp_path / "authorities.crt"
    assert "--secret" not in build.command(BUILDER, "abc", {"SSL_CERT_FILE": str(bundle)})
    bundle.write_text("")
    command = build.command(BUILDER, "abc", {"SSL_CERT_FILE": str(bundle)})
    assert command[command.index("--secret") + 1] == f"id=ca_bundle,src={bundle}"


def test_layers_of_a_registry_are_taken_and_its_own_are_told(build: Build) -> None:
    command = replace(build, layers="host/images:cpu-layers").command(BUILDER, "abc", {})
    assert command[command.index("--cache-from") + 1] == "host/images:cpu-layers"
    assert "BUILDKIT_INLINE_CACHE=1" in command
    assert replace(build, layers="host/images:cpu-layers").hash() == build.hash()


def test_its_hash_is_of_what_it_is_built_from_and_not_of_its_names(build: Build) -> None:
    other = Build(build.source, build.arguments, ("other:1",))
    assert build.hash() == other.hash()
    assert build.hash() != Build(build.source, {"A": "2", "B": ""}, build.references).hash()
