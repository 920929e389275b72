"""What an image is on this machine: directories, variables, and the file that describes them."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from local_modal.images.apt import library_paths, program_paths

FORMAT = 1
"""Version of the description and of how lines are replayed; a change builds every image anew."""

VENV, FILES, PACKAGES = TREES = ("venv", "files", "packages")
"""The trees of an image: its Python environment, the files copied into it, its unpacked system packages."""

_DESCRIPTION = "image.json"
_SHARED_FOLDERS = {"/", "/root", "/home", "/opt", "/srv", "/mnt", "/media"}
_EMPTY_AT_START = {"/tmp"}  # noqa: S108 - a container's path, not this machine's


@dataclass(frozen=True)
class Environment:
    """A built image, ready to run.

    Attributes:
        image_id: the image.
        root: its own directory.
        python: interpreter of its environment.
        env: complete variables of a process in it: the image's ENV lines, PATH and LD_LIBRARY_PATH; not the host's.
        library_paths: directories of unpacked shared libraries (they are in LD_LIBRARY_PATH already).
        workdir: where its processes start, as a container's path.
        python_version: such as "3.11.7".
        client: directory of the modal client for containers, at the end of `sys.path`.
        venv: the Python environment, in its own directory or an ancestor's.
        packages: the unpacked system packages, where it has any.
        binds: copied files: the container's path → the file or directory on this machine.
    """

    image_id: str
    root: Path
    python: Path
    env: Mapping[str, str]
    library_paths: tuple[Path, ...]
    workdir: str
    python_version: str
    client: Path
    venv: Path
    packages: Path | None
    binds: Mapping[str, Path]

    @property
    def read_only(self) -> tuple[Path, ...]:
        """Directories that a container must see at their own path."""
        return (self.venv, self.client, *((self.packages,) if self.packages else ()))


@dataclass(frozen=True)
class Description:
    """The stored form of an image.

    `owners`: for each of its trees, the image in whose directory the tree lies. `parents`: the images it was built on.
    """

    image_id: str
    python_version: str
    variables: Mapping[str, str]
    workdir: str
    owners: Mapping[str, str]
    client_version: str
    parents: tuple[str, ...] = ()
    format: int = FORMAT

    def write(self, root: Path) -> None:
        """Into an image's directory, and down to the disk."""
        with (root / _DESCRIPTION).open("w") as file:
            json.dump(asdict(self), file, indent=1)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def read(cls, root: Path) -> "Description | None":
        """From an image's directory; None where there is no image of this format."""
        try:
            stored = json.loads((root / _DESCRIPTION).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return cls(**stored) if stored.get("format") == FORMAT else None

    def tree(self, images: Path, name: str) -> Path | None:
        """Where a tree of this image lies."""
        return images / self.owners[name] / name if name in self.owners else None

    def environment(self, images: Path, client: Path) -> Environment | None:
        """The image as it runs; None where a part of it, or the Python it was built with, is gone."""
        trees = {name: self.tree(images, name) for name in TREES}
        venv, packages = trees[VENV], trees[PACKAGES]
        present = all(tree.is_dir() for tree in trees.values() if tree)
        if venv is None or not present or not os.access(venv / "bin/python", os.X_OK) or not client.is_dir():
            return None
        libraries = library_paths(packages) if packages else ()
        programs = (venv / "bin", *(program_paths(packages) if packages else ()))
        env = dict(self.variables)
        env["PATH"] = ":".join([*map(str, programs), env.get("PATH", "")]).rstrip(":")
        if libraries:
            env["LD_LIBRARY_PATH"] = ":".join([*map(str, libraries), env.get("LD_LIBRARY_PATH", "")]).rstrip(":")
        return Environment(
            image_id=self.image_id,
            root=images / self.image_id,
            python=venv / "bin/python",
            env=env,
            library_paths=libraries,
            workdir=self.workdir,
            python_version=self.python_version,
            client=client,
            venv=venv,
            packages=packages,
            binds=binds(trees[FILES]),
        )


def binds(files: Path | None) -> dict[str, Path]:
    """The fewest container paths that show the copied files without hiding what else lies in shared folders."""
    found: dict[str, Path] = {}

    def visit(folder: Path, path: str) -> None:
        for entry in sorted(folder.iterdir()):
            target = f"{path.rstrip('/')}/{entry.name}"
            if target in _EMPTY_AT_START:
                continue
            if target in _SHARED_FOLDERS and entry.is_dir():
                visit(entry, target)
            else:
                found[target] = entry

    if files:
        visit(files, "/")
    return found
