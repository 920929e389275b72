"""What a container sees of the image: its own paths, links kept, and nothing that a link could smuggle in or out."""

import os
import sys
from pathlib import Path

import pytest

from local_modal.runtime.spec import ZygoteFailed
from local_modal.runtime.tree import Tree, interpreter_paths
from local_modal.runtime.zygote import Bind

from .conftest import Host


@pytest.fixture
def folder(host: Host) -> Path:
    """A folder of an image, readable for containers."""
    made = host.folder / "image"
    made.mkdir()
    return made


def test_an_environment_shows_its_base_installation(tmp_path: Path) -> None:
    base, venv = tmp_path / "cpython-3.11.9", tmp_path / "venv"
    for made in (base / "bin", venv / "bin"):
        made.mkdir(parents=True)
    (base / "bin" / "python3.11").touch()
    (tmp_path / "cpython-3.11").symlink_to("cpython-3.11.9")
    (venv / "bin" / "python").symlink_to(tmp_path / "cpython-3.11" / "bin" / "python3.11")
    (venv / "pyvenv.cfg").write_text(f"home = {tmp_path}/cpython-3.11/bin\nversion = 3.11.9\n")
    shown = interpreter_paths(venv / "bin" / "python")
    assert venv in shown
    assert tmp_path / "cpython-3.11" in shown


def test_a_system_interpreter_shows_itself_and_not_all_of_usr() -> None:
    assert interpreter_paths(Path("/usr/bin/env")) == [Path(os.path.normpath("/usr/bin/env"))]


@pytest.mark.parametrize("target", ["relative", "/", "/.local-modal/launcher", "/x/../.local-modal"])
def test_a_target_that_is_ours_or_no_path_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="can't mount"):
        Tree().bind("/usr", target)


async def test_an_environment_behind_a_link_works(host: Host) -> None:
    link = host.folder / "current"
    link.symlink_to(sys.prefix)
    spec = host.spec(python=link / "bin" / "python", read_only=(link,))
    answer = await host.run(await host.zygote(spec), "import sys; result = sys.prefix")
    assert answer == {"result": str(link)}


async def test_a_folder_can_be_mounted_elsewhere(host: Host, folder: Path) -> None:
    (folder / "data").write_text("x")
    spec = host.spec(binds=(*host.spec().binds, Bind(folder, "/root/assets")))
    assert await host.run(await host.zygote(spec), "result = open('/root/assets/data').read()") == {"result": "x"}


async def test_a_target_that_a_read_only_folder_lacks_is_named(host: Host, folder: Path) -> None:
    spec = host.spec(read_only=(*host.spec().read_only, folder), binds=(Bind(folder, f"{folder}/missing"),))
    with pytest.raises(ZygoteFailed, match=f"nothing can be mounted on {folder}/missing"):
        await (await host.zygote(spec, wait=False)).ready()


async def test_a_link_in_an_image_leads_no_mount_to_the_machine(host: Host, folder: Path) -> None:
    outside = host.folder / "outside"
    outside.mkdir()
    (folder / "escape").symlink_to(outside)
    read_only = (*host.spec().read_only, folder)
    spec = host.spec(read_only=read_only, binds=(*host.spec().binds, Bind(folder, f"{folder}/escape/made")))
    with pytest.raises(ZygoteFailed, match=f"nothing can be mounted on {folder}/escape/made"):
        await (await host.zygote(spec, wait=False)).ready()
    assert list(outside.iterdir()) == []


async def test_a_missing_source_is_named(host: Host) -> None:
    spec = host.spec(binds=(Bind(host.folder / "nowhere", "/root/x"),))
    with pytest.raises(ZygoteFailed, match="nowhere"):
        await (await host.zygote(spec, wait=False)).ready()
