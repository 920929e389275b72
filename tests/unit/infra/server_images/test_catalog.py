"""The images that there are, and what their Dockerfiles take."""

from pathlib import Path

import pytest

from infra.server_images.catalog import BASE, IMAGES, SERVERS, TORCH, Source, arguments
from infra.server_images.errors import ImageError

DOCKERFILE = """\
ARG PYTHON_IMAGE=python:3.11
# ARG COMMENT=1
FROM ${PYTHON_IMAGE} AS builder
ARG TORCH_BACKEND=cpu
ARG PYTHON_IMAGE
ARG REVISION=
RUN echo ARG OTHER=1
"""


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return Source(Path("Dockerfile"), tmp_path)


def test_arguments_have_the_dockerfiles_own_values_unless_others_are_given(source: Source) -> None:
    own = {"PYTHON_IMAGE": "python:3.11", "TORCH_BACKEND": "cpu", "REVISION": ""}
    assert arguments(source, {}) == own
    assert arguments(source, {"TORCH_BACKEND": ""}) == {**own, "TORCH_BACKEND": ""}


def test_an_argument_that_it_does_not_take_is_refused_with_those_that_it_does(source: Source) -> None:
    with pytest.raises(ImageError, match="takes no argument TORCH; it takes PYTHON_IMAGE, REVISION, TORCH_BACKEND"):
        arguments(source, {"TORCH": "cpu"})


def test_a_missing_dockerfile_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="docker/Dockerfile can't be read: No such file"):
        arguments(Source(Path("docker/Dockerfile"), tmp_path), {})


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_of_the_repository_takes_a_base(name: str) -> None:
    assert arguments(IMAGES[name], {})[BASE].startswith("python:3.11")


def test_torch_can_be_chosen_for_the_cpu_image() -> None:
    assert arguments(IMAGES["cpu"], {})[TORCH] == "cpu"


def test_the_servers_are_among_the_images() -> None:
    assert set(SERVERS) < set(IMAGES)
