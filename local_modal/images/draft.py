"""An image while it grows: its variables, its trees, and which of them are still its parent's."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from local_modal.images.environment import FILES, Description
from local_modal.images.files import clone, inside
from local_modal.images.packages import ReplayRefusedError

SYSTEM_FOLDERS = {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "run", "sbin", "sys", "usr", "var"}
"""Folders at the top of a container that are this machine's own, seen read-only; nothing can be copied there."""


@dataclass
class Draft:
    """An image in its building directory.

    Attributes:
        image_id: the image.
        target: its directory while it is built.
        images: the directory of all images.
        python_version: such as "3.11.7"; empty before FROM.
        variables: what ENV lines have set.
        arguments: what ARG lines have set.
        workdir: a container's path.
        owners: for each of its trees, the image in whose directory the tree lies.
        parents: the images it is built on.
    """

    image_id: str
    target: Path
    images: Path
    python_version: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    owners: dict[str, str] = field(default_factory=dict)
    parents: tuple[str, ...] = ()

    def start_from(self, base: Description) -> None:
        """Take over everything of a built image."""
        self.python_version, self.workdir = base.python_version, base.workdir
        self.variables, self.owners = dict(base.variables), dict(base.owners)
        self.parents = (*base.parents, base.image_id)

    def describe(self, client_version: str) -> Description:
        """The finished image."""
        return Description(
            image_id=self.image_id,
            python_version=self.python_version,
            variables=self.variables,
            workdir=self.workdir,
            owners=self.owners,
            client_version=client_version,
            parents=self.parents,
        )

    @property
    def known(self) -> dict[str, str]:
        """Variables that lines may use: ENV wins over ARG."""
        return {**self.arguments, **self.variables}

    async def own(self, name: str) -> Path:
        """The tree of that name, as one that this image may change: a clone of its parent's, or an empty one."""
        tree = self.target / name
        if self.owners.get(name) != self.image_id:
            if name in self.owners:
                await asyncio.to_thread(clone, self.images / self.owners[name] / name, tree)
            else:
                tree.mkdir()
            self.owners[name] = self.image_id
        return tree

    async def place(self, path: str) -> Path:
        """Where a container's path lies among the copied files, to be changed there.

        Raises:
            ReplayRefusedError: it is the system's.
        """
        place = inside(Path("/"), path, self.workdir)
        if len(place.parts) == 1 or place.parts[1] in SYSTEM_FOLDERS:
            raise ReplayRefusedError(f"{path} belongs to this machine's system.")
        return inside(await self.own(FILES), path, self.workdir)

    def locate(self, path: str) -> Path:
        """A copied file, by the container's path, to be read.

        Raises:
            ReplayRefusedError: there is none.
        """
        owner = self.owners.get(FILES)
        root = self.target if owner in {None, self.image_id} else self.images / str(owner)
        found = inside(root / FILES, path, self.workdir)
        if not found.exists():
            raise ReplayRefusedError(f"{path} isn't in the image; add it with add_local_file(copy=True) before.")
        return found

    def site_packages(self, venv: Path) -> Path:
        """Where packages are in its environment."""
        minor = ".".join(self.python_version.split(".")[:2])
        return venv / "lib" / f"python{minor}" / "site-packages"
