"""Builds images, each once, and keeps them: ids, locks, atomic publication, the modal client for containers."""

import asyncio
import fcntl
import os
import platform
import re
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from hashlib import file_digest, sha256
from pathlib import Path

from modal_proto import api_pb2

from local_modal.ids import derived_id
from local_modal.images.apt import Apt
from local_modal.images.context import Context
from local_modal.images.dockerfile import parse
from local_modal.images.draft import Draft
from local_modal.images.environment import FORMAT, TREES, Description, Environment
from local_modal.images.errors import ImageError
from local_modal.images.files import Size, measure, megabytes
from local_modal.images.process import CommandFailedError, Log, Runner, scrubbed
from local_modal.images.replay import Replay
from local_modal.images.run import RunLines

_IMAGE_ID = re.compile(r"im-[A-Za-z0-9]{22}")
_COMMAND_SECONDS = 3600.0


class ImageStore:
    """Images of this machine.

    A build works in a directory of its own, which is renamed when all is on the disk; a lock on the image is held by
    the builder and inherited by its commands, so what a killed build leaves is removed by the next one.

    Args:
        root: where images are kept; on one file system with uv's cache, they share its files.
        client_version: of the modal client that containers get.
        uv: the uv program.
        provided_packages: Debian packages to take as present (machines without dpkg).
        command_seconds: time limit of one build command (s).
    """

    def __init__(
        self,
        root: Path,
        *,
        client_version: str,
        uv: Path,
        provided_packages: Iterable[str] = (),
        command_seconds: float = _COMMAND_SECONDS,
    ) -> None:
        self._root = root
        self._images, self._clients, self._building, self._discarded, self._locks = (
            root / name for name in ("images", "clients", "building", "discarded", "locks")
        )
        for folder in (self._images, self._clients, self._building, self._discarded, self._locks):
            folder.mkdir(parents=True, exist_ok=True)
        self._client_version = client_version
        self._uv = uv
        self._provided = frozenset(provided_packages)
        self._command_seconds = command_seconds
        self._environ = scrubbed(os.environ)
        self._waiting: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tidied = False

    def image_id(self, image: api_pb2.Image, builder_version: str, context_mount: Path | None = None) -> str:
        """The image's id, from everything that makes it: lines, parents, files, arguments, versions, this platform.

        `context_mount` stands for its contents; without it the mount's id does.
        """
        parts = [
            f"{FORMAT} {self._client_version} {builder_version} {platform.machine()} {'-'.join(platform.libc_ver())}",
            *(f"base {base.docker_tag} {base.image_id}" for base in image.base_images),
            *(f"line {line}" for line in image.dockerfile_commands),
            *(f"file {file.filename} {sha256(file.data).hexdigest()}" for file in image.context_files),
            *(f"argument {name} {image.build_args[name]}" for name in sorted(image.build_args)),
            *(f"secret {secret_id}" for secret_id in image.secret_ids),
            f"context {_digest(context_mount) if context_mount else image.context_mount_id}",
            f"function {sha256(image.build_function.SerializeToString(deterministic=True)).hexdigest()}",
        ]
        return derived_id("im", *parts)

    def get(self, image_id: str) -> Environment | None:
        """The image, where it is built and whole."""
        description = self._describe(image_id)
        return description.environment(self._images, self._client(description.python_version)) if description else None

    async def build(
        self,
        image: api_pb2.Image,
        image_id: str,
        log: Log,
        *,
        context_mount: Path | None,
        secrets: Mapping[str, str],
        force: bool = False,
    ) -> Environment:
        """Build the image, unless it is there; parents must be.

        Args:
            image: what ImageGetOrCreate sent.
            image_id: from `image_id`.
            log: takes the build's output, line by line.
            context_mount: the laid out mount `image.context_mount_id`.
            secrets: variables of `image.secret_ids`, for the build's commands only.
            force: build it anew although it is there; its descendants stay as they are.

        Raises:
            ImageError: a line that can't be replayed, or a command that failed.
        """
        if not _IMAGE_ID.fullmatch(image_id):
            raise ImageError(f"{image_id!r} is not an image id.")
        _refuse_unsupported(image)
        if not self._tidied:
            self._tidied = True
            await asyncio.to_thread(self._remove_leftovers)
        async with self._lock(image_id, log) as lock:
            if not force and (found := self.get(image_id)):
                return found
            started = time.monotonic()
            try:
                size = await self._make(image, image_id, self._runner(log, secrets, lock), context_mount)
            except OSError as error:
                raise ImageError(
                    f"Image {image_id} can't be written below {self._root} ({error}); "
                    "check the free space and the rights there, then deploy again."
                ) from None
            environment = self.get(image_id)
            if environment is None:
                raise ImageError(f"Image {image_id} was removed while it was built; deploy again.")
            parts = f": {megabytes(size.total)}, {megabytes(size.own)} of it unshared" if size.total else ""
            log(f"Built {image_id} in {time.monotonic() - started:.1f} s{parts}")
            return environment

    async def client_overlay(self, python_version: str, python: Path, log: Log) -> Path:
        """The modal client and what it depends on, for one Python version, installed once.

        Raises:
            ImageError: it can't be installed.
        """
        target = self._client(python_version)
        async with self._lock(target.name, log) as lock:
            if target.is_dir():
                return target
            log(f"Installing modal {self._client_version} for containers")
            workspace = self._workspace(target.name)
            target_folder = workspace / "client"
            command = [str(self._uv), "pip", "install", "--python", str(python), "--target", str(target_folder)]
            requirement = f"modal=={self._client_version}"
            try:
                runner = self._runner(log, {}, lock)
                await runner.run([*command, "--compile-bytecode", requirement], cwd=workspace)
                await asyncio.to_thread(os.sync)
                self._publish(target_folder, target)
            except CommandFailedError as error:
                raise ImageError(f"Installing {requirement} for containers failed: {error.reason}") from None
            finally:
                await asyncio.shield(asyncio.to_thread(shutil.rmtree, workspace, ignore_errors=True))
            return target

    def use(self, image: Environment) -> None:
        """A container starts from it: `prune` spares what was used lately."""
        for folder in (image.root, image.client):
            os.utime(folder)

    def unneeded(self, keep: Iterable[str], before: float = float("inf")) -> list[Path]:
        """What was last used before a time (s since the epoch): images, all but those to be kept and what images that
        stay were built on, and modal clients of other versions."""
        images = {entry: entry.stat().st_mtime < before for entry in self._images.iterdir()}
        staying = {*keep, *(entry.name for entry, old in images.items() if not old)}
        parents = {name for image_id in staying if (found := self._describe(image_id)) for name in found.parents}
        gone = [entry for entry, old in images.items() if old and entry.name not in staying | parents]
        current = f"modal-{self._client_version}-"
        clients = [entry for entry in self._clients.iterdir() if not entry.name.startswith(current)]
        return gone + [entry for entry in clients if entry.stat().st_mtime < before]

    def prune(self, keep: Iterable[str], before: float = float("inf")) -> list[str]:
        """Remove what is `unneeded`; returns the names."""
        removed = self.unneeded(keep, before)
        for entry in removed:
            self._discard(entry)
        self._remove_leftovers()
        return [entry.name for entry in removed]

    def size(self) -> Size:
        """Of all images together."""
        return measure(self._images, self._clients)

    # Building

    async def _make(self, image: api_pb2.Image, image_id: str, runner: Runner, context_mount: Path | None) -> Size:
        target = self._workspace(image_id)
        try:
            description = await self._replay(image, image_id, target, runner, context_mount)
            size = await asyncio.to_thread(_settle, target, description)
            self._publish(target, self._images / image_id)
            return size
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, target, ignore_errors=True))

    async def _replay(
        self, image: api_pb2.Image, image_id: str, target: Path, runner: Runner, context_mount: Path | None
    ) -> Description:
        bases: dict[str, Description] = {}
        for base in image.base_images:
            description = self._describe(base.image_id)
            if description is None or self.get(base.image_id) is None:
                raise ImageError(f"Its base image {base.image_id} is not built on this machine; deploy again.")
            bases[base.docker_tag] = description
        context_folder = target / "context"
        context_folder.mkdir()
        sent = {file.filename: file.data for file in image.context_files}
        draft = Draft(image_id, target, self._images)
        apt = Apt(self._root / "apt", runner, self._provided)
        replay = Replay(
            draft=draft,
            run_lines=RunLines(draft, self._uv, runner, apt, self._client_version),
            context=Context(context_folder, sent, context_mount),
            bases=bases,
            build_args=dict(image.build_args),
            install_client=lambda version, python: self.client_overlay(version, python, runner.log),
        )
        return await replay.replay(parse(image.dockerfile_commands))

    def _runner(self, log: Log, secrets: Mapping[str, str], lock: int) -> Runner:
        return Runner(self._environ, log, secrets, held=(lock,), limit_seconds=self._command_seconds)

    # Directories

    def _describe(self, image_id: str) -> Description | None:
        return Description.read(self._images / image_id) if _IMAGE_ID.fullmatch(image_id) else None

    def _client(self, python_version: str) -> Path:
        minor = "".join(python_version.split(".")[:2])
        return self._clients / f"modal-{self._client_version}-cp{minor}-{platform.machine()}"

    def _workspace(self, name: str) -> Path:
        """A new directory for a build of `name`, whose lock is held: what earlier ones left goes away."""
        for leftover in self._building.glob(f"{name}.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=self._building))
        folder.chmod(0o755)
        return folder

    def _publish(self, built: Path, place: Path) -> None:
        self._discard(place)
        built.rename(place)
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _discard(self, place: Path) -> None:
        """Out of the way: what still runs from it keeps it until another process's first build, or `prune`."""
        if place.exists():
            place.rename(Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=self._discarded)) / place.name)

    def _remove_leftovers(self) -> None:
        """What earlier processes discarded, and what builds that died left (their locks are free)."""
        for discarded in list(self._discarded.iterdir()):
            shutil.rmtree(discarded, ignore_errors=True)
        for leftover in self._building.iterdir():
            with self._lock_file(leftover.name.rpartition(".")[0]).open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                shutil.rmtree(leftover, ignore_errors=True)

    # Locks

    def _lock_file(self, name: str) -> Path:
        return self._locks / f"{name}.lock"

    @asynccontextmanager
    async def _lock(self, name: str, log: Log) -> AsyncIterator[int]:
        """Hold `name` against other tasks and processes; yields the descriptor that carries the lock."""
        async with self._waiting[name]:
            with self._lock_file(name).open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    log(f"Waiting for another build of {name}")
                    await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
                yield file.fileno()


def _refuse_unsupported(image: api_pb2.Image) -> None:
    if image.HasField("build_function") or image.build_function_def:
        raise ImageError(
            "Image.run_function can't be replayed on this machine: it runs code in a builder container. "
            "Do it in @modal.enter(), or add its result with add_local_dir(copy=True)."
        )
    if image.volume_mounts:
        raise ImageError("Volumes can't be attached to image builds on this machine; copy what they hold instead.")
    if image.arch and api_pb2.Arch.Name(image.arch) != f"ARCH_{platform.machine().upper()}":
        raise ImageError(f"An image for {api_pb2.Arch.Name(image.arch)} can't be built on {platform.machine()}.")


def _settle(target: Path, description: Description) -> Size:
    """Leave only what belongs to the image, describe it, and get it all down to the disk; returns its size."""
    shutil.rmtree(target / "context")
    size = measure(*(target / name for name in TREES), make_readable=os.geteuid() == 0)
    description.write(target)
    os.sync()
    return size


def _digest(folder: Path) -> str:
    digest = sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_mode & 0o111}\0{content}\n".encode())
    return digest.hexdigest()
