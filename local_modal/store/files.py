"""Files that a deployment brings: each stored once by its hash, gathered in mounts, laid out for containers."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.ids import derived_id
from local_modal.store.database import Database

SYSTEM_DIRECTORIES = frozenset(
    {"bin", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "scratch", "sys", "tmp", "usr"}
)


class Mounts:
    """Content-addressed: the same files make the same mount id, so an unchanged source changes no definition."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._files = root / "files"
        self._layouts = root / "layouts"
        for folder in (self._files, self._layouts):
            folder.mkdir(parents=True, exist_ok=True)

    def has(self, sha256_hex: str) -> bool:
        """Whether the file's content is here; it is kept for who asks."""
        try:
            os.utime(self._path(sha256_hex))
        except FileNotFoundError:
            return False
        return True

    def put(self, sha256_hex: str, data: bytes) -> None:
        """Store a file's content.

        Raises:
            LocalModalError: when the content isn't what the hash says.
        """
        if hashlib.sha256(data).hexdigest() != sha256_hex:
            raise LocalModalError("the uploaded file doesn't match its SHA-256")
        with tempfile.NamedTemporaryFile(dir=self._files, delete=False) as file:
            file.write(data)
        os.replace(file.name, self._path(sha256_hex))

    def create(self, files: list[api_pb2.MountFile]) -> str:
        """The mount of these files.

        Raises:
            LocalModalError: a file that wasn't uploaded, or a name that a mount may not have.
        """
        entries = sorted((file.filename, file.sha256_hex, file.mode or 0o644) for file in files)
        for name, sha256_hex, _ in entries:
            _check_name(name)
            if not self.has(sha256_hex):
                raise LocalModalError(f"the content of {name} was not uploaded")
        text = json.dumps(entries)
        mount_id = derived_id("mo", text)
        self._database.run(
            "INSERT INTO mounts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET used_at = excluded.used_at",
            *(mount_id, text, time.time()),
        )
        return mount_id

    def checksum(self, mount_id: str) -> str:
        """A hash over the names and contents of a mount."""
        return hashlib.sha256(json.dumps(self._entries(mount_id)).encode()).hexdigest()

    def layout(self, mount_ids: list[str]) -> Path:
        """A read-only folder in which the mounts' files lie at their own paths; made once for a set of mounts."""
        wanted = sorted(set(mount_ids))
        target = self._layouts / layout_name(wanted)
        if target.exists():
            os.utime(target)
            return target
        building = Path(tempfile.mkdtemp(dir=self._layouts, prefix=".building-"))
        building.chmod(0o755)
        for mount_id in wanted:
            for name, sha256_hex, mode in self._entries(mount_id):
                path = building / _check_name(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._path(sha256_hex), path)
                path.chmod(0o755 if mode & 0o100 else 0o644)
        try:
            building.rename(target)
        except OSError:
            shutil.rmtree(building)
            if not target.exists():
                raise
        return target

    def unneeded(self, layouts: Iterable[Iterable[str]], before: float) -> list[Path]:
        """Files in no mount that is left, and folders for none of those sets of mounts, unused since `before` (s)."""
        names = {
            sha256_hex
            for row in self._database.all("SELECT files FROM mounts")
            for _, sha256_hex, _ in json.loads(row["files"])
        }
        folders = {layout_name(mount_ids) for mount_ids in layouts}
        return [
            path
            for folder, kept in ((self._files, names), (self._layouts, folders))
            for path in folder.iterdir()
            if path.name not in kept and path.stat().st_mtime < before
        ]

    def _entries(self, mount_id: str) -> list[tuple[str, str, int]]:
        row = self._database.one("SELECT files FROM mounts WHERE mount_id = ?", mount_id)
        return [tuple(entry) for entry in json.loads(row["files"])] if row else []

    def _path(self, sha256_hex: str) -> Path:
        if len(sha256_hex) != hashlib.sha256().digest_size * 2 or not set(sha256_hex) <= set("0123456789abcdef"):
            raise LocalModalError("not a SHA-256 in hexadecimal")
        return self._files / sha256_hex


def layout_name(mount_ids: Iterable[str]) -> str:
    """Of the folder for a set of mounts."""
    return derived_id("la", *sorted(set(mount_ids)))


def _check_name(name: str) -> PurePosixPath:
    """A mount file's path relative to the container's root."""
    path = PurePosixPath(name)
    if not path.is_absolute() or ".." in path.parts or "\0" in name or len(path.parts) < 3:  # noqa: PLR2004 - / folder / file
        raise LocalModalError(f"a mounted file needs an absolute path inside a folder, not {name!r}")
    if path.parts[1] in SYSTEM_DIRECTORIES:
        raise LocalModalError(f"{name!r}: files can't be mounted over the container's own /{path.parts[1]}")
    return path.relative_to("/")
