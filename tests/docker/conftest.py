"""A Docker engine for the session, the base image that the Dockerfiles build on, and the images themselves.

An engine that answers is used. Where none does, `REQUIRE_DOCKER=1` (`make test-docker` and CI set it) starts one from
the distribution's packages, and where that fails so do the tests; without it the tests of this folder are NOT RUN.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.images import Image
from testcontainers.core.config import ConnectionMode, testcontainers_config

from modal_app.image import torch_build

ROOT = Path(__file__).parents[2]
REQUIRED = os.environ.get("REQUIRE_DOCKER") == "1"
FIRST_BUILD_SECONDS = 3600
"""Building an image takes the machine's first run minutes; any test of this folder may be the one that waits for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of this folder may wait for a build, where they don't say otherwise."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(FIRST_BUILD_SECONDS))


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of docker/*.sh."""
    command = [str(ROOT / "docker" / name), *arguments]
    return subprocess.run(command, text=True, capture_output=True, check=False, timeout=FIRST_BUILD_SECONDS)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The engine's client. DOCKER_HOST names the engine to every program that a test starts, and to testcontainers."""
    found = script("engine.sh", "start" if REQUIRED else "find")
    if found.returncode:
        reason = found.stderr.strip().splitlines()[-1]
        if REQUIRED:
            pytest.fail(f"REQUIRE_DOCKER=1, and there is no Docker engine: {reason}", pytrace=False)
        pytest.skip(f"NOT RUN: {reason}")
    _, assignment = shlex.split(found.stdout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", assignment.removeprefix("DOCKER_HOST="))
        # The reaper's image takes a registry; these tests end their containers themselves.
        patch.setattr(testcontainers_config, "ryuk_disabled", True)
        if Path("/.dockerenv").exists() and testcontainers_config.connection_mode_override is None:
            # The engine runs inside this container, so that its ports are on this container's loopback.
            patch.setattr(testcontainers_config, "connection_mode_override", ConnectionMode.docker_host)
        client = docker.from_env(timeout=120)
        try:
            yield client
        finally:
            client.close()


@pytest.fixture(scope="session")
def base(engine: docker.DockerClient) -> str:  # noqa: ARG001 - the engine that gets it
    """Name of the base image, which the engine then has."""
    made = script("base.sh")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


BuildImage = Callable[..., Image]


@pytest.fixture(scope="session")
def build_image(engine: docker.DockerClient, base: str) -> BuildImage:
    """Builds one of the images as `make images` does, under a name of the tests' own: `build_image("cpu", "A=B")`."""

    def build(name: str, *arguments: str) -> Image:
        tag = f"inference-custom-blocks:{name}-test"
        command = [sys.executable, "-m", "infra.server_images", "build", name, "--tag", tag]
        for argument in (f"PYTHON_IMAGE={base}", *arguments):
            command += ["--arg", argument]
        done = subprocess.run(
            command, cwd=ROOT, text=True, capture_output=True, check=False, timeout=FIRST_BUILD_SECONDS
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return engine.images.get(tag)

    return build


@pytest.fixture(scope="session")
def cpu_image(build_image: BuildImage) -> Image:
    """The server's image for CPUs; with the CPU build of torch where torch's own index answers."""
    return build_image("cpu", f"TORCH_BACKEND={'cpu' if torch_build('auto') == 'cpu' else ''}")


@pytest.fixture(scope="session")
def gpu_image(build_image: BuildImage) -> Image:
    """The server's image for GPUs."""
    return build_image("gpu")
