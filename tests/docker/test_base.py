"""docker/base.sh on a real engine."""

import docker

from tests.docker.conftest import script

ABSENT = "python@sha256:" + "0" * 64


def test_an_image_that_is_there_is_said_to_be(engine: docker.DockerClient, base: str) -> None:
    done = script("base.sh", base)
    assert (done.returncode, done.stdout) == (0, f"{base}\n")
    assert str(engine.images.get(base).id) in done.stderr
    assert "a pulled image" in done.stderr or "put together from Debian's packages" in done.stderr


def test_it_has_the_python_that_the_lists_are_for_at_the_official_path(engine: docker.DockerClient, base: str) -> None:
    said = engine.containers.run(base, ["/usr/local/bin/python", "--version"], remove=True)
    assert said.decode().startswith("Python 3.11.")


def test_nothing_stands_in_for_an_image_that_is_pinned_by_digest(engine: docker.DockerClient) -> None:  # noqa: ARG001 - it is asked
    done = script("base.sh", ABSENT)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{ABSENT} is pinned by digest and can't be pulled: " in done.stderr
