"""The read-only file tree of a sandbox: which host paths are shown where. Built in a mount namespace of our own.

Sources are opened first, with the control plane's rights (an image may lie below a folder that only its owner enters);
then the tree is laid out inside a chroot of the new root, so that no symbolic link in an image can lead a mount or a
file of ours outside. Runs in the control plane's interpreter, before any code of an image.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from . import policy
from . import syscalls as sc

ROOT = "/tmp"  # noqa: S108 - a mount point in our own mount namespace, nothing is written to the host's /tmp
ARGUMENTS = f"{policy.PRIVATE}/arguments"
LAUNCHER = f"{policy.PRIVATE}/launcher"

_READ_ONLY = sc.ATTR_RDONLY | sc.ATTR_NOSUID | sc.ATTR_NODEV


class Tree:
    """What the sandbox will see: `show` and `bind` while the host is in sight, then `lay_out`."""

    def __init__(self, reader: int | None = None) -> None:
        """`reader`: the uid that must be able to read everything, where it isn't ours."""
        self._reader = reader
        self._links: dict[str, str] = {}
        self._mounts: dict[str, tuple[int, bool]] = {}

    def show(self, path: str | Path) -> None:
        """A host path at its own place, with the symbolic links on the way to it.

        Raises:
            FileNotFoundError: there is no such path.
        """
        current = "/"
        parts = Path(os.path.abspath(path)).parts[1:]
        for position, part in enumerate(parts):
            here = os.path.join(current, part)
            if self._covered(here):
                current = here
                continue
            if os.path.islink(here):
                if here in self._links:
                    return
                self._links[here] = os.readlink(here)
                self.show(os.path.join(current, self._links[here], *parts[position + 1 :]))
                return
            current = here
        if self._covered(current):
            resolved = os.path.realpath(current)
            if resolved != current:
                self.show(resolved)
            return
        self.bind(current, current)

    def show_if_present(self, paths: Iterable[str | Path]) -> None:
        for path in paths:
            if os.path.exists(path):
                self.show(path)

    def bind(self, source: str | Path, target: str) -> None:
        """A host path at another place.

        Raises:
            FileNotFoundError: there is no such source.
            ValueError: the target isn't an absolute path, or is ours.
        """
        target = os.path.normpath(target)
        if not target.startswith("/") or target == "/" or (target + "/").startswith(policy.PRIVATE + "/"):
            raise ValueError(f"can't mount on {target}: an absolute path below / is needed")
        source = os.path.realpath(source)
        self._check_readable(source)
        descriptor = sc.open_tree(source)
        self._mounts[target] = (descriptor, os.path.isdir(source))

    def _check_readable(self, source: str) -> None:
        """Access rights above `source` don't matter, its own do: containers aren't its owner."""
        found = os.stat(source)
        needed = 0o5 if os.path.isdir(source) else 0o4
        if self._reader is not None and found.st_uid != self._reader and found.st_mode & needed != needed:
            raise PermissionError(
                f"containers run as uid {self._reader} and can't read {source}: make it readable (chmod o+rX)"
            )

    def _covered(self, path: str) -> bool:
        folders = (target for target, (_, is_directory) in self._mounts.items() if is_directory)
        return any(path == folder or path.startswith(folder + "/") for folder in folders)

    def lay_out(self, files: dict[str, bytes], directories: Iterable[str], devices: Iterable[str]) -> None:
        """Makes ROOT the finished tree: a small tmpfs with everything mounted on it, read only."""
        opened = [(device, sc.open_tree(device)) for device in devices]
        size = (1 << 20) + 2 * sum(len(content) for content in files.values())
        host_root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        sc.mount("tmpfs", ROOT, "tmpfs", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC, f"size={size},mode=755")
        os.chroot(ROOT)
        os.chdir("/")
        try:
            for target in sorted(self._mounts, key=len):
                self._mount(target, *self._mounts[target])
            for link, target in self._links.items():
                if not os.path.lexists(link) and not self._covered(link):
                    os.makedirs(os.path.dirname(link), exist_ok=True)
                    os.symlink(target, link)
            for path, content in files.items():
                os.makedirs(os.path.dirname(path), exist_ok=True)
                if not os.path.lexists(path):
                    Path(path).write_bytes(content)
            for directory in directories:
                os.makedirs(directory, exist_ok=True)
            if not os.path.lexists("/tmp"):  # noqa: S108
                os.symlink(policy.SCRATCH, "/tmp")  # noqa: S108
            for device, descriptor in opened:
                os.makedirs(os.path.dirname(device), exist_ok=True)
                Path(device).touch()
                sc.restrict_tree(descriptor, sc.ATTR_RDONLY | sc.ATTR_NOSUID | sc.ATTR_NOEXEC)
                sc.attach(descriptor, device)
                os.close(descriptor)
        finally:
            os.fchdir(host_root)
            os.chroot(".")
            os.close(host_root)
        root = os.open(ROOT, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        sc.restrict_tree(root, _READ_ONLY, recursive=False)
        os.close(root)

    def _mount(self, target: str, descriptor: int, is_directory: bool) -> None:
        try:
            if is_directory:
                os.makedirs(target, exist_ok=True)
            else:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                if not os.path.lexists(target):
                    Path(target).touch()
        except OSError as error:
            raise OSError(error.errno, f"nothing can be mounted on {target}: {error.strerror}") from error
        sc.restrict_tree(descriptor, _READ_ONLY)
        sc.attach(descriptor, target)
        os.close(descriptor)


def interpreter_paths(python: Path) -> list[Path]:
    """What must be visible for an interpreter to start: itself, the environment and the base installation behind it.

    Follows the links of `python` (venv/bin/python → …/bin/python3.11) and the `home` of pyvenv.cfg; of a system
    installation (/usr) only the interpreter's own files.
    """
    shown: list[Path] = []

    def add(executable: Path) -> None:
        prefix = executable.parent.parent
        if prefix in (Path("/usr"), Path("/")):
            shown.append(executable)
        else:
            shown.append(prefix)

    current = Path(os.path.abspath(python))
    for _ in range(40):
        add(current)
        if not current.is_symlink():
            break
        current = Path(os.path.normpath(current.parent / os.readlink(current)))
    config = python.parent.parent / "pyvenv.cfg"
    if config.is_file():
        for line in config.read_text().splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                add(Path(value.strip()) / current.name)
    return shown
