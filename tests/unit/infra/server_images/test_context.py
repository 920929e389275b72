"""What changes an image's hash, and what doesn't: exactly the files that the builder is given, and the arguments."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.server_images.catalog import IMAGES, Source
from infra.server_images.context import file_hashes, ignored, shown, source_hash
from infra.server_images.errors import ImageError

IGNORE = """\
# only what the image is made of
*
!app
!lists/requirements.*.txt
**/__pycache__
"""
Change = Callable[[Path], object]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    for name in (
        "app/main.py",
        "app/inner/more.py",
        "lists/requirements.a.txt",
        "lists/requirements.a.in",
        "README.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "docker" / "Dockerfile.dockerignore").write_text(IGNORE)
    (tmp_path / "link").symlink_to("README.md")
    return Source(Path("docker/Dockerfile"), tmp_path)


def total(source: Source, **arguments: str) -> str:
    return source_hash(file_hashes(source), arguments)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda root: (root / "app/main.py").write_text("changed"), "app/main.py"),
        (lambda root: (root / "app/inner/new.py").write_text(""), "app/inner/new.py"),
        (lambda root: (root / "app/inner/more.py").unlink(), "app/inner/more.py"),
        (lambda root: (root / "app/main.py").chmod(0o755), "app/main.py"),
        (lambda root: (root / "app/link").symlink_to("main.py"), "app/link"),
        (lambda root: (root / "lists/requirements.a.txt").write_text("changed"), "lists/requirements.a.txt"),
        (lambda root: (root / "lists/requirements.b.txt").write_text(""), "lists/requirements.b.txt"),
        (lambda root: (root / "docker/Dockerfile").write_text("FROM base\n"), "docker/Dockerfile"),
    ],
)
def test_it_changes_with_a_file_that_the_builder_sees_and_says_which(source: Source, change: Change, path: str) -> None:
    before, digest = shown(file_hashes(source)), total(source)
    change(source.context)
    after = shown(file_hashes(source))
    assert total(source) != digest
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {path}


def test_it_changes_with_an_argument(source: Source) -> None:
    assert len({total(source), total(source, TORCH="cpu"), total(source, TORCH=""), total(source, BASE="cpu")}) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "README.md").write_text("changed"),
        lambda root: (root / "lists/requirements.a.in").write_text("changed"),
        lambda root: (root / "docker/other.sh").write_text("new"),
        lambda root: (root / "app/inner/__pycache__").mkdir(),
        lambda root: (
            (root / "app/__pycache__").mkdir(),
            (root / "app/__pycache__/main.cpython-311.pyc").write_bytes(b"x"),
        ),
        lambda root: os.utime(root / "app/main.py", (1, 1)),
        lambda root: (root / "app/main.py").chmod(0o600),
        lambda root: (root / "app/empty").mkdir(),
        lambda root: (root / ".git").mkdir(),
    ],
)
def test_it_does_not_change_with_anything_else(source: Source, change: Change) -> None:
    (source.context / "app/main.py").chmod(0o644)
    digest = total(source)
    change(source.context)
    assert total(source) == digest


def test_a_general_ignore_file_counts_where_the_dockerfile_has_none_of_its_own(source: Source) -> None:
    (source.context / ".dockerignore").write_text("README.md\n")
    assert "!app" in ignored(source)
    (source.context / "docker/Dockerfile.dockerignore").unlink()
    assert ignored(source) == ["README.md"]


def test_without_any_nothing_is_built(source: Source) -> None:
    (source.context / "docker/Dockerfile.dockerignore").unlink()
    with pytest.raises(ImageError, match=r"there is no Dockerfile\.dockerignore beside docker/Dockerfile"):
        file_hashes(source)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_of_the_repository_is_made_of_what_git_tracks(name: str) -> None:
    """Nothing generated and no secret reaches a build."""
    source = IMAGES[name]
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    tracked = subprocess.run(listing, cwd=source.context, capture_output=True, text=True, check=True).stdout.split("\0")
    assert set(file_hashes(source)) <= set(tracked)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize(
    "path", ["requirements/requirements.dev.txt", "requirements/requirements.infra.txt", "README.md"]
)
def test_what_only_developers_use_changes_no_image(name: str, path: str) -> None:
    assert path not in file_hashes(IMAGES[name])
