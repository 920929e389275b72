"""Ids, locks, publication: what happens when builds meet, fail or are killed."""

import asyncio
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from modal_proto import api_pb2

from local_modal.images import Environment, ImageError, ImageStore
from tests.unit.local_modal.images.client_images import BUILDER, FROM_PYTHON, build_lines, contents, lines
from tests.unit.local_modal.images.conftest import new_store

SIX = "RUN pip install six==1.16.0"


def image(**changes: object) -> api_pb2.Image:
    given: dict[str, object] = {"dockerfile_commands": ["FROM base", SIX], "context_mount_id": "mo-1", **changes}
    return api_pb2.Image(**given)  # type: ignore[arg-type]


def test_an_id_has_modals_form_and_stays_the_same(store: ImageStore, tmp_path: Path) -> None:
    image_id = store.image_id(image(), BUILDER)
    assert image_id.startswith("im-")
    assert len(image_id) == 25
    assert new_store(tmp_path).image_id(image(), BUILDER) == image_id


@pytest.mark.parametrize(
    "changed",
    [
        image(dockerfile_commands=["FROM base", SIX, "ENV A=1"]),
        image(dockerfile_commands=[SIX, "FROM base"]),
        image(base_images=[api_pb2.BaseImage(docker_tag="base", image_id="im-1")]),
        image(context_files=[api_pb2.ImageContextFile(filename="/r.txt", data=b"six")]),
        image(context_mount_id="mo-2"),
        image(build_args={"A": "1"}),
        image(secret_ids=["st-1"]),
        image(build_function=api_pb2.BuildFunction(definition="x")),
    ],
)
def test_whatever_makes_an_image_changes_its_id(store: ImageStore, changed: api_pb2.Image) -> None:
    assert store.image_id(changed, BUILDER) != store.image_id(image(), BUILDER)


def test_the_builder_and_client_versions_change_an_id(store: ImageStore, tmp_path: Path) -> None:
    assert store.image_id(image(), "2026.10") != store.image_id(image(), BUILDER)
    other = ImageStore(tmp_path, client_version="1.6.3", uv=Path("uv"))
    assert other.image_id(image(), BUILDER) != store.image_id(image(), BUILDER)


def test_the_contents_of_a_context_mount_change_an_id_and_its_place_does_not(store: ImageStore, tmp_path: Path) -> None:
    ids = []
    for folder, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text(text)
        ids.append(store.image_id(image(), BUILDER, tmp_path / folder))
    assert ids[0] == ids[1] != ids[2]


def test_what_asks_for_a_gpu_is_the_same_image(store: ImageStore) -> None:
    with_gpu = image(gpu_config=api_pb2.GPUConfig(gpu_type="T4", count=1))
    assert store.image_id(with_gpu, BUILDER) == store.image_id(image(), BUILDER)


@pytest.mark.parametrize("image_id", ["im-" + "a" * 22, "../../etc", "im-../../../../../../../etc", ""])
def test_an_unknown_id_is_no_image(store: ImageStore, image_id: str) -> None:
    assert store.get(image_id) is None


async def test_a_built_image_is_found_by_another_store_at_once(
    store: ImageStore, base: Environment, images_root: Path
) -> None:
    built = await build_lines(store, SIX, base=base)
    other = new_store(images_root)
    assert other.get(built.image_id) == built
    log: list[str] = []
    assert await build_lines(other, SIX, base=base, log=log) == built
    assert log == []


async def test_an_image_whose_python_is_gone_is_built_anew(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    built = await build_lines(store, FROM_PYTHON)
    built.python.unlink()
    built.python.symlink_to("/nowhere/python")
    assert store.get(built.image_id) is None
    assert (await build_lines(store, FROM_PYTHON)).python.exists()


async def test_two_builds_of_one_image_build_once(tmp_path: Path) -> None:
    one, other = new_store(tmp_path), new_store(tmp_path)
    logs: list[list[str]] = [[], [], []]
    built = await asyncio.gather(
        build_lines(one, FROM_PYTHON, log=logs[0]),
        build_lines(one, FROM_PYTHON, log=logs[1]),
        build_lines(other, FROM_PYTHON, log=logs[2]),
    )
    assert built[0] == built[1] == built[2]
    assert sum(line.startswith("Built ") for log in logs for line in log) == 1


async def test_a_failed_build_leaves_nothing(store: ImageStore, base: Environment, images_root: Path) -> None:
    before = sorted(path.name for path in (images_root / "images").iterdir())
    with pytest.raises(ImageError):
        await build_lines(store, SIX, "RUN make", base=base)
    assert sorted(path.name for path in (images_root / "images").iterdir()) == before
    assert not list((images_root / "building").iterdir())


async def test_a_cancelled_build_stops_its_command_and_leaves_nothing(
    store: ImageStore, base: Environment, images_root: Path, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    slow_package(tmp_path / "context/pkg", fifo)
    task = asyncio.create_task(build_lines(store, *INSTALL_SLOW_PACKAGE, base=base, context_mount=tmp_path / "context"))
    with await asyncio.to_thread(fifo.open, "w"):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(OSError, match="No such device"):
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)  # nobody reads any more
    assert not list((images_root / "building").iterdir())


INSTALL_SLOW_PACKAGE = ("COPY pkg /pkg", "RUN pip install --no-build-isolation /pkg")

BUILDER_SCRIPT = """
import asyncio, sys
from pathlib import Path
from tests.unit.local_modal.images.client_images import build_lines
from tests.unit.local_modal.images.conftest import new_store
from tests.unit.local_modal.images.test_store import INSTALL_SLOW_PACKAGE
root, base_id, context = sys.argv[1:]
store = new_store(Path(root))
asyncio.run(build_lines(store, *INSTALL_SLOW_PACKAGE, base=store.get(base_id), context_mount=Path(context)))
"""


def slow_package(folder: Path, fifo: Path) -> Path:
    """A package whose build waits until somebody writes into `fifo`, and says "go" or "stop" there."""
    folder.mkdir(parents=True)
    if not fifo.exists():
        os.mkfifo(fifo)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow"\nversion = "1"\n'
    )
    (folder / "backend.py").write_text(
        f"import zipfile\n"
        f"def build_wheel(folder, *_):\n"
        f"    answer = open({str(fifo)!r}).read()\n"
        f"    if answer != 'go': raise SystemExit(answer)\n"
        f"    name = 'slow-1-py3-none-any.whl'\n"
        f"    with zipfile.ZipFile(folder + '/' + name, 'w') as wheel:\n"
        f"        wheel.writestr('slow.py', 'x = 1')\n"
        f"        wheel.writestr('slow-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: slow\\nVersion: 1\\n')\n"
        f"        wheel.writestr('slow-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nTag: py3-none-any\\n')\n"
        f"        wheel.writestr('slow-1.dist-info/RECORD', '')\n"
        f"    return name\n"
    )
    return folder


async def test_a_killed_build_leaves_no_image_and_the_next_one_converges(
    store: ImageStore, base: Environment, images_root: Path, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    slow_package(tmp_path / "context/pkg", fifo)
    before = contents(base.venv)
    command = [sys.executable, "-c", BUILDER_SCRIPT, str(images_root), base.image_id, str(tmp_path / "context")]
    builder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with await asyncio.to_thread(fifo.open, "w") as orphan:
        os.kill(builder.pid, signal.SIGKILL)
        builder.communicate()
        assert list((images_root / "building").iterdir())
        said: asyncio.Queue[str] = asyncio.Queue()
        layer = lines("FROM base", *INSTALL_SLOW_PACKAGE, base=base)
        waiting = asyncio.create_task(
            store.build(
                layer,
                store.image_id(layer, BUILDER, tmp_path / "context"),
                said.put_nowait,
                context_mount=tmp_path / "context",
                secrets={},
            )
        )
        first_line = await asyncio.wait_for(said.get(), 60)
        assert first_line.startswith("Waiting for another build"), "its command still runs, and holds the lock"
        orphan.write("stop")
    await asyncio.wait_for(said.get(), 60)  # the lock is free, so the orphan has left the pipe to the next reader
    with await asyncio.to_thread(fifo.open, "w") as own:
        own.write("go")
    environment = await waiting
    assert list(environment.venv.glob("lib/python3.11/site-packages/slow.py"))
    assert not list((images_root / "building").iterdir())
    assert contents(base.venv) == before


async def test_a_store_that_cannot_be_written_says_what_to_check(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    (tmp_path / "clients").rmdir()
    (tmp_path / "clients").write_text("in the way")
    with pytest.raises(ImageError, match="check the free space and the rights there"):
        await build_lines(store, FROM_PYTHON)


async def test_a_first_build_without_a_network_is_one_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(ImageError, match=r"Installing modal==.* failed: http://127.0.0.1:9/.* could not be reached"):
        await build_lines(new_store(tmp_path), FROM_PYTHON)
    assert not list((tmp_path / "building").iterdir())
    assert not list((tmp_path / "clients").iterdir())


async def test_what_dead_builds_and_earlier_processes_left_goes_away_at_the_next_build(tmp_path: Path) -> None:
    new_store(tmp_path)
    name = "im-" + "a" * 22
    (tmp_path / f"building/{name}.x/venv").mkdir(parents=True)
    (tmp_path / f"discarded/{name}.x").mkdir(parents=True)
    with pytest.raises(ImageError):
        await build_lines(new_store(tmp_path), "FROM scratch")
    assert not list((tmp_path / "building").iterdir())
    assert not list((tmp_path / "discarded").iterdir())


async def test_a_running_build_survives_the_first_build_of_another_process(
    store: ImageStore, base: Environment, images_root: Path
) -> None:
    others: list[asyncio.Task[Environment]] = []

    def build_another(line: str) -> None:
        if line.startswith("=> Step 1"):
            others.append(asyncio.create_task(build_lines(new_store(images_root), "ENV ANOTHER=1", base=base)))

    layer = lines("FROM base", "RUN pip install toolz==1.0.0", "RUN pip install six==1.17.0", base=base)
    image_id = store.image_id(layer, BUILDER)
    built = await store.build(layer, image_id, build_another, context_mount=None, secrets={})
    assert built.python.exists()
    assert [(await other).env["ANOTHER"] for other in others] == ["1"]


async def test_a_forced_build_replaces_the_image_and_what_runs_from_it_keeps_its_files(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    first = await build_lines(store, FROM_PYTHON)
    (first.venv / "mark").touch()
    folder = os.open(first.venv, os.O_RDONLY)
    try:
        second = await build_lines(store, FROM_PYTHON, force=True)
        assert second.image_id == first.image_id
        assert not (second.venv / "mark").exists()
        assert "mark" in os.listdir(folder)
    finally:
        os.close(folder)


async def test_a_layer_on_an_image_that_is_gone_says_so(store: ImageStore, base: Environment) -> None:
    layer = lines("FROM base", "ENV A=1")
    layer.base_images.add(docker_tag="base", image_id="im-" + "z" * 22)
    with pytest.raises(ImageError, match="is not built on this machine; deploy again"):
        await store.build(layer, store.image_id(layer, BUILDER), lambda _: None, context_mount=None, secrets={})
    assert store.get(base.image_id) == base


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (api_pb2.Image(build_function=api_pb2.BuildFunction(definition="x")), "run_function"),
        (image(volume_mounts=[api_pb2.VolumeMount(volume_id="vo-1", mount_path="/v")]), "Volumes"),
        (image(arch=api_pb2.ARCH_AARCH64 if platform.machine() == "x86_64" else api_pb2.ARCH_X86_64), "ARCH_"),
    ],
)
async def test_what_no_line_says_is_refused_by_name(store: ImageStore, asked: api_pb2.Image, named: str) -> None:
    with pytest.raises(ImageError, match=named):
        await store.build(asked, store.image_id(asked, BUILDER), print, context_mount=None, secrets={})


async def test_pruning_keeps_what_is_asked_for_and_what_it_stands_on(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    base = await build_lines(store, FROM_PYTHON)
    kept = await build_lines(store, "ENV A=1", base=base)
    other = await build_lines(store, "ENV A=2", base=base)
    total = store.size().total
    assert store.prune([kept.image_id]) == [other.image_id]
    assert store.get(kept.image_id) == kept
    assert store.get(other.image_id) is None
    assert store.size().total < total
