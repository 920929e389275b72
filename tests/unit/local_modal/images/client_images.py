"""Images as the client defines them: its own `modal.Image` objects, turned into the messages that it sends."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from modal._image import _Image
from modal_proto import api_pb2

from local_modal.images import Environment, ImageStore
from local_modal.images.files import inside

BUILDER = "2025.06"
FROM_PYTHON = "FROM python:3.11.12-slim-bookworm"

Define = Callable[[Any], Any]


@dataclass(frozen=True)
class Layer:
    """One ImageGetOrCreate: the message without its parent's id, and the files of its context mount."""

    image: api_pb2.Image
    mounted: Mapping[str, Path]

    def lay_out(self, folder: Path) -> Path | None:
        """The context mount as a directory."""
        for name, source in self.mounted.items():
            target = inside(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        return folder if self.mounted else None


def client_layers(define: Define, builder: str = BUILDER) -> list[Layer]:
    """The layers that `define(modal.Image)` makes with the real client, parents first."""
    recorded: list[dict[str, Any]] = []
    original = _Image._from_args

    def record(**arguments: Any) -> Any:
        recorded.append(arguments)
        return original(**arguments)

    with patch.object(_Image, "_from_args", staticmethod(record)):
        define(_Image)
    return [_layer(arguments, builder) for arguments in recorded]


def _layer(arguments: Mapping[str, Any], builder: str) -> Layer:
    dockerfile = arguments["dockerfile_function"](builder)
    image = api_pb2.Image(dockerfile_commands=dockerfile.commands)
    for name, path in dockerfile.context_files.items():
        image.context_files.add(filename=name, data=Path(path).read_bytes())
    make_mount = arguments.get("context_mount_function")
    mount = make_mount(builder) if make_mount else None
    files = [pair for entry in mount.entries for pair in entry.get_files_to_upload()] if mount else []
    return Layer(image, {str(remote): Path(local) for local, remote in files})


def lines(*commands: str, base: Environment | None = None) -> api_pb2.Image:
    """An image of these Dockerfile lines, on `base` where it is given."""
    image = api_pb2.Image(dockerfile_commands=commands)
    if base:
        image.base_images.add(docker_tag="base", image_id=base.image_id)
    return image


async def build_lines(
    store: ImageStore,
    *commands: str,
    base: Environment | None = None,
    log: list[str] | None = None,
    context_mount: Path | None = None,
    secrets: Mapping[str, str] | None = None,
    force: bool = False,
) -> Environment:
    """Build one layer of these lines; `FROM base` is put before them where they stand on one."""
    image = lines(*(("FROM base",) if base else ()), *commands, base=base)
    image_id = store.image_id(image, BUILDER, context_mount)
    sink = [] if log is None else log
    return await store.build(
        image, image_id, sink.append, context_mount=context_mount, secrets=secrets or {}, force=force
    )


async def build_client_image(
    store: ImageStore, define: Define, folder: Path, log: list[str] | None = None
) -> Environment:
    """Build all layers of a client's image, as it asks for them; returns the last."""
    environment: Environment | None = None
    sink = [] if log is None else log
    for number, layer in enumerate(client_layers(define)):
        if environment:
            layer.image.base_images.add(docker_tag="base", image_id=environment.image_id)
        mount = layer.lay_out(folder / str(number))
        image_id = store.image_id(layer.image, BUILDER, mount)
        environment = await store.build(layer.image, image_id, sink.append, context_mount=mount, secrets={})
    if environment is None:
        raise ValueError("the definition made no layer")
    return environment


def contents(tree: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, links' inode and bytes of every file, to see that nothing changed."""
    return {
        str(path.relative_to(tree)): (path.stat().st_mode, path.stat().st_ino, path.read_bytes())
        for path in sorted(tree.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
