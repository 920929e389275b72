"""Downloads the official release of the Pulumi CLI, with its own language hosts, and checks its SHA-256."""

import hashlib
import platform
import tarfile
import time
import urllib.error
import urllib.request
import urllib.response
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from infra.toolchain.version import ToolchainError, say

PINNED = Path(__file__).parent / "release.sha256"
MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
PROGRESS_SECONDS = 10.0
CHUNK_BYTES = 1 << 20
LIST_BYTES = 1 << 20


@dataclass(frozen=True)
class Release:
    """The source that needs the vendor's hosts."""

    archives: str = "https://get.pulumi.com/releases/sdk"
    checksums: str = "https://github.com/pulumi/pulumi/releases/download"
    pinned: Path = PINNED
    connect_seconds: float = 4.0
    """For a host to answer, and for each read after that."""
    whole_seconds: float = 600.0
    """For the whole download."""

    name = "official release"

    def get(self, folder: Path, version: str) -> None:
        """Fills `folder` with what the release's archive holds."""
        machine = MACHINES.get(platform.machine())
        if platform.system() != "Linux" or not machine:
            raise ToolchainError(f"not looked for on {platform.system()} {platform.machine()}")
        name = f"pulumi-v{version}-linux-{machine}.tar.gz"
        archive = folder / name
        try:
            say(f"downloading {name}")
            found = self._download(f"{self.archives}/{name}", archive)
            wanted = self._checksum(name, version)
            if found != wanted:
                raise ToolchainError(f"{name} has the SHA-256 {found}, not {wanted}")
            _unpack(archive, folder)
        except (OSError, tarfile.TarError) as error:
            raise ToolchainError(_reason(error)) from error
        finally:
            archive.unlink(missing_ok=True)

    def _download(self, url: str, archive: Path) -> str:
        """The SHA-256 of what `url` gave, which is now in `archive`."""
        digest = hashlib.sha256()
        begin = time.monotonic()
        due = begin + PROGRESS_SECONDS
        with self._open(url) as answer, archive.open("wb") as file:
            while data := answer.read(CHUNK_BYTES):
                digest.update(data)
                file.write(data)
                if (now := time.monotonic()) > due:
                    say(f"downloaded {file.tell() >> 20} MiB, {now - begin:.0f} s")
                    due = now + PROGRESS_SECONDS
                if now - begin > self.whole_seconds:
                    raise TimeoutError(f"not complete after {self.whole_seconds:g} s")
        return digest.hexdigest()

    def _checksum(self, name: str, version: str) -> str:
        if pinned := _sums(self.pinned.read_text("utf-8")).get(name):
            return pinned
        with self._open(f"{self.checksums}/v{version}/pulumi-{version}-checksums.txt") as answer:
            published = _sums(answer.read(LIST_BYTES).decode(errors="replace")).get(name)
        if not published:
            raise ToolchainError(f"the vendor's list of checksums does not name {name}")
        return published

    def _open(self, url: str) -> "urllib.response.addinfourl":
        answer: urllib.response.addinfourl = urllib.request.urlopen(url, timeout=self.connect_seconds)  # noqa: S310 - the vendor's https address
        return answer


def _sums(text: str) -> dict[str, str]:
    """File name → SHA-256, of lines as sha256sum prints them."""
    rows = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {row[1].lstrip("*"): row[0].lower() for row in rows if len(row) == 2}  # noqa: PLR2004


def _unpack(archive: Path, folder: Path) -> None:
    """Puts the programs of the archive, `pulumi/<name>` each, straight into `folder`."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile():
                member.name = PurePosixPath(member.name).name
                tar.extract(member, folder, filter="data")
    if not (folder / "pulumi").is_file():
        raise ToolchainError(f"{archive.name} holds no pulumi")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.url} answers {error.code}"
    reason = getattr(error, "reason", error)
    return f"can't be reached ({getattr(reason, 'strerror', None) or reason})"
