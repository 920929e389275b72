"""Which engine and which command line are used, and what is said where there is none."""

from pathlib import Path

import pytest

from infra.server_images import engine as module
from infra.server_images.engine import builder, engine
from infra.server_images.errors import ImageError


def command_line(folder: Path, version: str, *, buildx: bool) -> Path:
    """A `docker` that says its version, and has the plug-in or not."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(
        f'#!/bin/sh\ncase "$1" in\n  --version) echo "Docker version {version}, build 1" ;;\n'
        f"  buildx) exit {0 if buildx else 1} ;;\nesac\n"
    )
    program.chmod(0o755)
    return program


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_RESORT", "/nonexistent/docker")


def test_the_plug_in_builds_where_it_is(tmp_path: Path) -> None:
    program = command_line(tmp_path / "a", "28.2.2", buildx=True)
    found = builder(str(program.parent))
    assert found.command == (str(program), "buildx", "build", "--load")
    assert found.variables == {}


def test_an_old_command_line_needs_none(tmp_path: Path) -> None:
    program = command_line(tmp_path / "a", "20.10.24+dfsg1", buildx=False)
    found = builder(str(program.parent))
    assert found.command == (str(program), "build")
    assert found.variables == {"DOCKER_BUILDKIT": "1"}


def test_one_that_can_not_build_gives_way_to_the_next_on_the_path(tmp_path: Path) -> None:
    new = command_line(tmp_path / "a", "28.2.2", buildx=False)
    old = command_line(tmp_path / "b", "20.10.24", buildx=False)
    assert builder(f"{new.parent}:{old.parent}").command == (str(old), "build")


def test_the_distributions_own_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = command_line(tmp_path / "a", "28.2.2", buildx=False)
    old = command_line(tmp_path / "b", "20.10.24", buildx=False)
    monkeypatch.setattr(module, "LAST_RESORT", str(old))
    assert builder(str(new.parent)).command == (str(old), "build")


def test_without_buildkit_it_says_what_was_found_and_what_to_install(tmp_path: Path) -> None:
    new = command_line(tmp_path / "a", "28.2.2", buildx=False)
    with pytest.raises(ImageError) as raised:
        builder(str(new.parent))
    assert f"{new} (Docker version 28.2.2, build 1) has none" in str(raised.value)
    assert "docker-buildx-plugin" in str(raised.value)
    with pytest.raises(ImageError, match="there is no `docker` on PATH"):
        builder(str(tmp_path))


def test_without_an_engine_it_says_where_it_looked_and_what_to_do(no_engine: str) -> None:
    with pytest.raises(ImageError) as raised, engine():
        pass
    (line,) = str(raised.value).splitlines()
    assert f"none answers at {no_engine} (No such file or directory)" in line
    assert "docker/engine.sh" in line
