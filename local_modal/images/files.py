"""Trees of files that images share: cloned by hard links, copied in, measured, removed."""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_WRITTEN_IN_PLACE = 1 << 20
_GIGABYTE = 10**9
_BLOCK = 512
_READABLE = 0o444
_ENTERABLE = 0o555


@dataclass(frozen=True)
class Size:
    """Bytes on disk: of all files, and of those that no other image nor uv's cache shares."""

    total: int
    own: int


def clone(source: Path, target: Path) -> None:
    """Make `target` (which mustn't exist) the same tree as `source`, with hard links for files.

    Installers replace files by renaming, which leaves the other links alone; the exceptions are generated scripts
    and records (below 1 MiB, in `bin` or directly at the top), which are copied.
    """
    target.mkdir()
    shutil.copystat(source, target)
    with os.scandir(source) as entries:
        for entry in entries:
            _clone_entry(entry, target / entry.name, in_place=True)


def _clone_entry(entry: "os.DirEntry[str]", target: Path, *, in_place: bool) -> None:
    if entry.is_symlink():
        target.symlink_to(os.readlink(entry.path))
    elif entry.is_dir():
        target.mkdir()
        with os.scandir(entry.path) as children:
            for child in children:
                _clone_entry(child, target / child.name, in_place=in_place and entry.name == "bin")
    elif in_place and entry.stat().st_size < _WRITTEN_IN_PLACE:
        shutil.copy2(entry.path, target)
    else:
        os.link(entry.path, target)


def merge(source: Path, target: Path) -> None:
    """Move everything under `source` into `target`; a file takes the place of one that is there already."""
    for entry in list(os.scandir(source)):
        place = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            if not place.is_dir():
                place.unlink(missing_ok=True)
                place.mkdir()
            merge(Path(entry.path), place)
        elif place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
            Path(entry.path).rename(place)
        else:
            Path(entry.path).replace(place)


def copy(source: Path, target: Path, mode: int | None = None) -> None:
    """Copy a file or the contents of a directory to `target`, replacing files; all readable, links followed."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for entry in sorted(source.iterdir()):
            copy(entry, target / entry.name, mode)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    shutil.copystat(source, target)
    wanted = stat.S_IMODE(source.stat().st_mode) if mode is None else mode
    target.chmod(wanted & 0o755 | _READABLE)


def inside(root: Path, path: str, workdir: str = "/") -> Path:
    """The place under `root` of a container's path; `..` never leaves it."""
    absolute = PurePosixPath("/", workdir, path)
    return root.joinpath(*PurePosixPath(os.path.normpath(absolute)).parts[1:])


def measure(*trees: Path, make_readable: bool = False) -> Size:
    """Size of the trees; a file with several links in them counts once.

    `make_readable` lets every user read them on the way: containers of a control plane run by root are another user.
    """
    total = own = 0
    seen: set[int] = set()
    for path, state in (found for tree in trees for found in _walk(tree)):
        if make_readable:
            _allow(path, state.st_mode)
        if not stat.S_ISDIR(state.st_mode) and state.st_ino not in seen:
            seen.add(state.st_ino)
            total += state.st_blocks * _BLOCK
            own += state.st_blocks * _BLOCK if state.st_nlink == 1 else 0
    return Size(total, own)


def _walk(tree: Path) -> Iterator[tuple[str, os.stat_result]]:
    if tree.is_dir():
        yield str(tree), os.lstat(tree)
    for folder, folders, names in os.walk(tree):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            yield path, os.lstat(path)


def _allow(path: str, mode: int) -> None:
    bits = _ENTERABLE if stat.S_ISDIR(mode) else _READABLE
    if not stat.S_ISLNK(mode) and mode & bits != bits:
        os.chmod(path, stat.S_IMODE(mode) | bits)


def megabytes(size: int) -> str:
    """For people: `12 MB`, `1.9 GB`."""
    return f"{size / _GIGABYTE:.1f} GB" if size >= _GIGABYTE else f"{size / 1e6:.0f} MB"
