"""System packages of an image: what this machine has is used, what it lacks is unpacked into the image without root.

apt itself resolves and verifies; nothing is installed on the machine and no package script runs.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_modal.images.errors import ImageError
from local_modal.images.files import measure, merge
from local_modal.images.process import CommandFailedError, Runner

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~*-]+)?")
_IGNORED_OPTIONS = {"-y", "--yes", "--assume-yes", "-q", "-qq", "--no-install-recommends", "--no-install-suggests"}
_TO_INSTALL = re.compile(r"Inst (\S+)(?: \[[^\]]*\])? \((\S+) ")
_LIBRARY_FOLDERS = ("lib", "usr/lib", "usr/local/lib")
_C_LIBRARY = {"libc6", "libc-bin"}
_FETCH_OPTIONS = ("-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=30", "-o", "Acquire::https::Timeout=30")


def requested(args: Sequence[str]) -> list[str]:
    """Package names of an `apt-get install` line.

    Raises:
        ImageError: an option or a name that isn't understood.
    """
    names = [word for word in args if word not in _IGNORED_OPTIONS]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ImageError(f"apt-get install: {name!r} is neither a package nor an option that is replayed.")
    return names


def library_paths(tree: Path) -> tuple[Path, ...]:
    """Directories under an unpacked tree where the dynamic linker finds its libraries, for LD_LIBRARY_PATH."""
    patterns = [f"{base}/{deeper}lib*.so.*" for base in _LIBRARY_FOLDERS for deeper in ("", "*/", "*/*/")]
    folders = (library.parent for pattern in patterns for library in sorted(tree.glob(pattern)))
    return tuple(dict.fromkeys(folders))


def program_paths(tree: Path) -> tuple[Path, ...]:
    """Directories under an unpacked tree that hold programs."""
    places = (tree / name for name in ("usr/local/bin", "usr/bin", "bin", "usr/sbin", "sbin"))
    return tuple(place for place in places if place.is_dir() and not place.is_symlink())


@dataclass(frozen=True)
class Apt:
    """apt of this machine.

    Args:
        state: where package lists and downloads of its own go, when the machine's are missing or out of date.
        runner: runs the commands.
        provided: packages that the user says are there, on machines whose package manager doesn't know them.
    """

    state: Path
    runner: Runner
    provided: frozenset[str]

    async def install(self, names: Sequence[str], into: Path) -> list[str]:
        """Bring the packages, with what they depend on, into the tree `into`; what the machine has stays there.

        Returns the names of the packages that were unpacked.

        Raises:
            ImageError: no apt here, an unknown package, or one that can't be had without root; it gives the command.
        """
        missing = await self._missing([name for name in names if name.partition("=")[0] not in self.provided])
        if not missing:
            self.runner.log(f"On this machine already: {', '.join(names)}")
            return []
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise ImageError(
                f"The image needs the Debian packages {', '.join(missing)}, and this machine has no apt-get: install "
                f"what they contain with its own package manager, then set "
                f"LOCAL_MODAL_PROVIDED_PACKAGES={','.join(missing)}."
            )
        try:
            return await self._unpack(missing, into, private=False)
        except CommandFailedError:
            self.runner.log("The machine's package lists don't have them; fetching lists of its own")
        try:
            await self._update()
            return await self._unpack(missing, into, private=True)
        except CommandFailedError as error:
            reason = next((line for line in reversed(error.output) if line.startswith("E: ")), str(error))
            raise ImageError(
                f"The Debian packages {', '.join(missing)} could not be fetched ({reason}); "
                f"run: sudo apt-get update && sudo apt-get install {' '.join(missing)}"
            ) from None

    async def _missing(self, names: Sequence[str]) -> list[str]:
        if not names or not shutil.which("dpkg-query"):
            return list(names)
        query = ["dpkg-query", "--show", "--showformat", "${Package}=${Version} ${db:Status-Status}\n"]
        plain = [name.partition("=")[0] for name in names]
        try:
            lines = await self.runner.run([*query, *plain], cwd=Path("/"), quiet=True)
        except CommandFailedError as error:
            lines = error.output
        exact = {line.removesuffix(" installed") for line in lines if line.endswith(" installed")}
        installed = exact | {entry.partition("=")[0] for entry in exact}
        return [name for name in names if name not in installed]

    async def _unpack(self, names: Sequence[str], into: Path, *, private: bool) -> list[str]:
        apt = ["apt-get", *self._options(private=private)]
        simulate = ["install", "--simulate", "--no-install-recommends", "--no-upgrade", "-y"]
        plan = await self.runner.run([*apt, *simulate, *names], cwd=Path("/"), quiet=True)
        packages = {match[1]: match[2] for line in plan if (match := _TO_INSTALL.match(line))}
        if _C_LIBRARY & {name.split(":")[0] for name in packages}:
            raise ImageError(
                f"The Debian packages {', '.join(names)} need a newer C library than this machine's, which can't be "
                f"unpacked beside it; run: sudo apt-get install {' '.join(names)}"
            )
        if not packages:
            self.runner.log(f"On this machine already, under other names: {', '.join(names)}")
            return []
        self.runner.log(f"Unpacking {len(packages)} packages, without recommended ones: {', '.join(packages)}")
        downloads = Path(tempfile.mkdtemp(prefix="debs-", dir=into.parent))
        tree = downloads / "tree"
        try:
            wanted = [f"{name}={version}" for name, version in packages.items()]
            await self.runner.run([*apt, *_FETCH_OPTIONS, "download", *wanted], cwd=downloads, quiet=True)
            for archive in sorted(downloads.glob("*.deb")):
                await self.runner.run(["dpkg-deb", "--extract", archive, tree], cwd=downloads, quiet=True)
            measure(tree, make_readable=True)
            into.mkdir(exist_ok=True)
            merge(tree, into)
        finally:
            shutil.rmtree(downloads, ignore_errors=True)
        return list(packages)

    async def _update(self) -> None:
        for folder in ("lists/partial", "cache/archives/partial"):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        await self.runner.run(["apt-get", *self._options(private=True), *_FETCH_OPTIONS, "update"], cwd=Path("/"))

    def _options(self, *, private: bool) -> list[str]:
        options = ["-o", "Debug::NoLocking=1"]
        if os.geteuid() == 0:
            options += ["-o", "APT::Sandbox::User=root"]
        if private:
            options += ["-o", f"Dir::State::lists={self.state / 'lists'}", "-o", f"Dir::Cache={self.state / 'cache'}"]
        return options
