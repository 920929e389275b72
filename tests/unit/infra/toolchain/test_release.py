"""The official release: downloaded, compared with its SHA-256, unpacked; or a reason why not."""

import hashlib
import io
import platform
import socket
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.toolchain.release import PINNED, Release
from infra.toolchain.version import ToolchainError

NAME = f"pulumi-v1.2.3-linux-{'arm64' if platform.machine() == 'aarch64' else 'x64'}.tar.gz"


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server of the files in a folder."""
    folder = tmp_path / "vendor"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def archive(names: tuple[str, ...] = ("pulumi/pulumi", "pulumi/pulumi-language-python")) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            content = name.encode()
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def pinned(tmp_path: Path, content: bytes | None = None) -> Path:
    path = tmp_path / "release.sha256"
    path.write_text("# comment\n" + (f"{hashlib.sha256(content).hexdigest()}  {NAME}\n" if content else ""))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


def test_what_agrees_with_the_pinned_sum_is_unpacked(vendor: tuple[str, Path], folder: Path, tmp_path: Path) -> None:
    url, files = vendor
    (files / NAME).write_bytes(archive())
    Release(url, "http://127.0.0.1:9", pinned(tmp_path, archive())).get(folder, "1.2.3")
    assert sorted(path.name for path in folder.iterdir()) == ["pulumi", "pulumi-language-python"]
    assert (folder / "pulumi").stat().st_mode & 0o111


def test_without_a_pinned_sum_the_vendors_list_at_its_other_host_counts(
    vendor: tuple[str, Path], folder: Path, tmp_path: Path
) -> None:
    url, files = vendor
    (files / NAME).write_bytes(archive())
    published = files / "v1.2.3" / "pulumi-1.2.3-checksums.txt"
    published.parent.mkdir()
    published.write_text(f"{'0' * 64}  other.tar.gz\n{hashlib.sha256(archive()).hexdigest()}  {NAME}\n")
    Release(url, url, pinned(tmp_path)).get(folder, "1.2.3")
    assert (folder / "pulumi").exists()


@pytest.mark.parametrize("listed", ["", f"{'0' * 64}  {NAME}\n"])
def test_what_does_not_agree_is_refused(vendor: tuple[str, Path], folder: Path, tmp_path: Path, listed: str) -> None:
    url, files = vendor
    (files / NAME).write_bytes(archive())
    published = files / "v1.2.3" / "pulumi-1.2.3-checksums.txt"
    published.parent.mkdir()
    published.write_text(listed)
    with pytest.raises(ToolchainError):
        Release(url, url, pinned(tmp_path)).get(folder, "1.2.3")
    assert list(folder.iterdir()) == []


def test_nothing_of_an_archive_lands_outside_the_folder(vendor: tuple[str, Path], folder: Path, tmp_path: Path) -> None:
    url, files = vendor
    content = archive(("pulumi/pulumi", "../../escaped", "/tmp/escaped-too"))
    (files / NAME).write_bytes(content)
    Release(url, url, pinned(tmp_path, content)).get(folder, "1.2.3")
    assert sorted(path.name for path in folder.iterdir()) == ["escaped", "escaped-too", "pulumi"]
    assert not list(tmp_path.glob("escaped*"))


def test_an_archive_without_the_cli_is_refused(vendor: tuple[str, Path], folder: Path, tmp_path: Path) -> None:
    url, files = vendor
    content = archive(("pulumi/other",))
    (files / NAME).write_bytes(content)
    with pytest.raises(ToolchainError, match="holds no pulumi"):
        Release(url, url, pinned(tmp_path, content)).get(folder, "1.2.3")


def test_a_missing_release_is_a_reason(vendor: tuple[str, Path], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="answers 404"):
        Release(vendor[0], vendor[0], pinned(tmp_path)).get(folder, "1.2.3")


def test_a_host_that_does_not_answer_is_given_up_soon(folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ToolchainError, match="can't be reached"):
            Release(url, url, pinned(tmp_path), connect_seconds=0.2).get(folder, "1.2.3")


def test_the_vendors_hosts_are_asked_over_https() -> None:
    release = Release()
    assert release.archives.startswith("https://")
    assert release.checksums.startswith("https://")
    assert release.connect_seconds <= 5
    assert PINNED.is_file()
