"""What an image is made of, as hashes: the files that the build is given, and its arguments.

The builder sees the context without what `<Dockerfile>.dockerignore`, or else `.dockerignore`, leaves out. The same
files are hashed here: what can't reach the image doesn't change its hash, and what can does.
"""

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from docker.utils.build import PatternMatcher

from infra.server_images.catalog import Source
from infra.server_images.errors import ImageError

SHOWN_CHARS = 12
"""Of a file's hash, in a preview."""


def ignored(source: Source) -> list[str]:
    """Patterns of what the builder isn't given, as BuildKit looks for them.

    Raises:
        ImageError: no file says so: the builder would be given the whole folder, whatever is in it.
    """
    own = source.path.with_name(f"{source.path.name}.dockerignore")
    for path in (own, source.context / ".dockerignore"):
        if path.exists():
            lines = (line.strip() for line in path.read_text("utf-8").splitlines())
            return [line for line in lines if line and not line.startswith("#")]
    raise ImageError(f"there is no {own.name} beside {source.dockerfile}: it must say what the build may see")


def file_hashes(source: Source) -> dict[str, str]:
    """SHA-256 of every file of the context and of the Dockerfile, by path; of content and of being executable."""
    return {path.as_posix(): _file_hash(source.context / path) for path in sorted(_files(source))}


def shown(hashes: Mapping[str, str]) -> dict[str, str]:
    """The same, as short as a person needs to see which file changed."""
    return {path: digest[:SHOWN_CHARS] for path, digest in hashes.items()}


def source_hash(hashes: Mapping[str, str], arguments: Mapping[str, str]) -> str:
    """Of all of it."""
    return hashlib.sha256(json.dumps([dict(hashes), dict(arguments)], sort_keys=True).encode()).hexdigest()


def _files(source: Source) -> Iterator[Path]:
    yield source.dockerfile
    for name in set(PatternMatcher(ignored(source)).walk(str(source.context))):
        path = source.context / name
        if Path(name) != source.dockerfile and (path.is_symlink() or path.is_file()):
            yield Path(name)


def _file_hash(path: Path) -> str:
    if path.is_symlink():
        return hashlib.sha256(f"link\0{path.readlink()}".encode()).hexdigest()
    executable = bool(path.stat().st_mode & stat.S_IXUSR)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return hashlib.sha256(f"{executable}\0{digest.hexdigest()}".encode()).hexdigest()
