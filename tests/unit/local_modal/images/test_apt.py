import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from local_modal.images.apt import Apt, library_paths, program_paths, requested
from local_modal.images.errors import ImageError
from local_modal.images.process import Runner, scrubbed

needs_apt = pytest.mark.skipif(not shutil.which("apt-get"), reason="NOT RUN: needs a machine with apt")
CANDIDATES = ("libopts25", "libmikmod3", "libyajl2", "libgif7")
"""Small libraries without dependencies worth mentioning."""


def absent_package() -> str:
    query = ["dpkg-query", "--show", "--showformat", "${Package}\n", *CANDIDATES]
    installed = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    return next(name for name in CANDIDATES if name not in installed)


def new_apt(state: Path, log: list[str], provided: frozenset[str] = frozenset(), **environ: str) -> Apt:
    runner = Runner({**scrubbed(os.environ), **environ}, log.append, {}, (), 600)
    return Apt(state, runner, provided)


def test_options_are_left_out_and_names_checked() -> None:
    assert requested(["-y", "--no-install-recommends", "libgl1", "git=1:2.39*"]) == ["libgl1", "git=1:2.39*"]
    with pytest.raises(ImageError, match="--allow-downgrades"):
        requested(["-y", "--allow-downgrades", "git"])
    with pytest.raises(ImageError, match=r"/data/x\.deb"):
        requested(["/data/x.deb"])
    with pytest.raises(ImageError, match="libgl1:i386"):
        requested(["libgl1:i386"])


@needs_apt
async def test_what_the_machine_has_is_not_unpacked(tmp_path: Path) -> None:
    log: list[str] = []
    assert await new_apt(tmp_path / "apt", log).install(["dpkg", "libc6"], tmp_path / "tree") == []
    assert log == ["On this machine already: dpkg, libc6"]
    assert not (tmp_path / "tree").exists()


@needs_apt
@pytest.mark.timeout(300)
@pytest.mark.parametrize("lists", ["the machine's", "none"])
async def test_what_it_lacks_is_unpacked_and_its_libraries_found(tmp_path: Path, lists: str) -> None:
    name = absent_package()
    log: list[str] = []
    tree = tmp_path / "tree"
    (tmp_path / "empty/partial").mkdir(parents=True)
    config = tmp_path / "apt.conf"
    config.write_text(f'Dir::State::lists "{tmp_path}/empty";\n' if lists == "none" else "")
    apt = new_apt(tmp_path / "apt", log, APT_CONFIG=str(config))
    assert name in await apt.install([name, "dpkg"], tree)
    assert ("The machine's package lists don't have them; fetching lists of its own" in log) >= (lists == "none")
    (folder,) = library_paths(tree)
    library = next(folder.glob("lib*.so.*"))
    subprocess.run(["ldd", library], check=True, capture_output=True)
    assert not list(tmp_path.glob("debs-*"))
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in tree.rglob("*") if path.is_file())


@needs_apt
@pytest.mark.timeout(300)
async def test_an_unknown_package_gives_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=re.escape("sudo apt-get update && sudo apt-get install no-such-package")):
        await new_apt(tmp_path / "apt", []).install(["no-such-package"], tmp_path / "tree")


async def test_a_machine_without_apt_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match="LOCAL_MODAL_PROVIDED_PACKAGES=libgl1"):
        await new_apt(tmp_path / "apt", []).install(["libgl1"], tmp_path / "tree")
    provided = new_apt(tmp_path / "apt", [], frozenset({"libgl1"}))
    assert await provided.install(["libgl1"], tmp_path / "tree") == []


def test_plug_ins_are_not_taken_for_libraries(tmp_path: Path) -> None:
    for name in ("usr/lib/t/liba.so.1", "usr/lib/t/blas/libb.so.3", "usr/lib/t/qt/plugins/x/libc.so", "usr/bin/tool"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert library_paths(tmp_path) == (tmp_path / "usr/lib/t", tmp_path / "usr/lib/t/blas")
    assert program_paths(tmp_path) == (tmp_path / "usr/bin",)
