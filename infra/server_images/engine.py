"""The Docker engine, through the SDK; and the command line that builds on it, as the SDK knows the old builder only.

Both go to the engine that DOCKER_HOST names, or else the command line's current context.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from infra.server_images.errors import ImageError

NEEDS_ENGINE = (
    "images are built on a Docker engine, and none answers{where} ({reason}): start Docker, or have "
    '`eval "$(docker/engine.sh)"` start one; DOCKER_HOST names another one'
)
NEEDS_BUILDKIT = (
    "the images are built by BuildKit, and {found}: install Docker's buildx plug-in (package docker-buildx-plugin, "
    "docker-buildx on Debian and Ubuntu)"
)
OWN_BUILDKIT = 23
"""The first version of the command line that leaves BuildKit to the buildx plug-in."""
LAST_RESORT = "/usr/bin/docker"
"""Where a distribution puts its own, perhaps behind another one on PATH."""
ASK_SECONDS = 20.0
CALL_SECONDS = 60
"""For a call to the engine, unless it streams."""


@contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine, closed at the end.

    Raises:
        ImageError: none answers.
    """
    try:
        client = docker.from_env(timeout=CALL_SECONDS)
    except (DockerException, OSError) as error:
        raise ImageError(_no_engine(error)) from None
    try:
        try:
            client.ping()
        except (DockerException, OSError) as error:
            raise ImageError(_no_engine(error)) from None
        yield client
    finally:
        client.close()


def _no_engine(error: Exception) -> str:
    host = os.environ.get("DOCKER_HOST")
    cause = error
    while cause.__context__ is not None and isinstance(cause.__context__, Exception):
        cause = cause.__context__
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return NEEDS_ENGINE.format(where=f" at {host}" if host else "", reason=" ".join(reason.split()))


@dataclass(frozen=True)
class Builder:
    """A command that builds with BuildKit."""

    command: tuple[str, ...]
    variables: Mapping[str, str]


def builder(path: str = os.environ.get("PATH", os.defpath)) -> Builder:
    """`docker buildx build` of the first command line that has the plug-in, or `docker build` of one that needs none.

    Raises:
        ImageError: there is none.
    """
    seen = []
    for program in _programs(path):
        if _run(program, "buildx", "version").returncode == 0:
            return Builder((program, "buildx", "build", "--load"), {})
        said = _run(program, "--version").stdout
        version = re.search(r"\bversion (\d+)[.\d]*", said)
        if version and int(version[1]) < OWN_BUILDKIT:
            return Builder((program, "build"), {"DOCKER_BUILDKIT": "1"})
        seen.append(f"{program} ({said.strip() or 'which does not run'})")
    found = f"{' and '.join(seen)} has none" if seen else "there is no `docker` on PATH"
    raise ImageError(NEEDS_BUILDKIT.format(found=found))


def _programs(path: str) -> Iterator[str]:
    """Every `docker` there is, each once."""
    found = [shutil.which("docker", path=folder) for folder in path.split(os.pathsep) if folder]
    paths = [Path(name) for name in [*found, shutil.which(LAST_RESORT)] if name]
    yield from dict.fromkeys(str(name) for name in paths)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - a docker command line
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=ASK_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
