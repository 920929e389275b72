"""A tiny image in place of the real ones, from nothing, and its build by the product's own command."""

import os
import subprocess
from pathlib import Path
from uuid import uuid4

import docker

from infra.server_images.build import Build
from infra.server_images.catalog import Source, arguments
from infra.server_images.engine import builder

DOCKERFILE = """\
ARG PYTHON_IMAGE=scratch:1
ARG TORCH_BACKEND=cpu
FROM scratch
ARG TORCH_BACKEND
COPY content /content
LABEL torch=${TORCH_BACKEND} inference-custom-blocks.test=tiny
"""
TINY = "inference-custom-blocks.test=tiny"


def remove_all(engine: docker.DockerClient) -> None:
    """Takes every tiny image away."""
    for image in engine.images.list(filters={"label": TINY}):
        engine.images.remove(str(image.id), force=True)


def tiny(folder: Path) -> Source:
    """A context of one file, whose content no other image has."""
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "Dockerfile.dockerignore").write_text("*\n!content\n")
    (folder / "content").write_text(uuid4().hex)
    return Source(Path("Dockerfile"), folder)


def build(source: Source, reference: str) -> None:
    """Builds it under this name."""
    tool, made = builder(), Build(source, arguments(source, {}), (reference,))
    environ = {**os.environ, **tool.variables}
    command = made.command(tool, made.hash())
    subprocess.run(command, cwd=source.context, env=environ, capture_output=True, text=True, check=True)
