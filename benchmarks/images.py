"""The CPU server's image in figures: `python -m benchmarks.images`. Layer by layer, beside what upstream's pattern adds
to the same packages; building with nothing to change; start to healthy; memory. `--rebuild` also times a build of every
layer, for which packages that were downloaded before are used.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container
from docker.models.images import Image

from infra.server_images.build import Build
from infra.server_images.catalog import BASE, TORCH, Source, arguments
from infra.server_images.engine import Builder, builder, engine
from modal_app.image import torch_build

ROOT = Path(__file__).parents[1]
OURS = Source(Path("docker/Dockerfile.onnx.cpu"))
UPSTREAM = Source(Path("Dockerfile"), ROOT / "benchmarks" / "upstream")
MEGABYTE = 1e6
SHOWN_MEGABYTES = 0.05
"""Layers below this are left out."""
START_SECONDS = 300


@dataclass(frozen=True)
class Layer:
    """One layer of an image."""

    line: str
    """Of the Dockerfile."""
    megabytes: float


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser("python -m benchmarks.images", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--rebuild", action="store_true", help="time a build of every layer too")
    options = parser.parse_args()
    with engine() as client:
        tool = builder()
        base = os.environ.get(BASE) or arguments(OURS, {})[BASE]
        torch = "cpu" if torch_build("auto") == "cpu" else ""
        ours = Build(OURS, arguments(OURS, {BASE: base, TORCH: torch}), ("inference-custom-blocks:bench",))
        theirs = Build(UPSTREAM, arguments(UPSTREAM, {BASE: base}), ("inference-custom-blocks:bench-upstream",))
        built, again, beside = timed(tool, ours), timed(tool, ours), timed(tool, theirs)
        shared, image = client.images.get(base), client.images.get(ours.references[0])
        added = list(layers(client.images.get(theirs.references[0]), shared))
        print(f"torch: {'CPU build' if torch else 'build of the default index'}\n")
        report("ours", shared, list(layers(image, shared)))
        report("upstream's pattern adds to the packages", shared, added)
        print(
            f"\nbuilt in {built:.1f} s, again with nothing to change in {again:.1f} s; upstream's part {beside:.1f} s"
        )
        if options.rebuild:
            print(f"every layer, packages downloaded before: {timed(tool, ours, '--no-cache'):.1f} s")
        seconds, megabytes = started(client, image)
        print(f"start to healthy {seconds:.1f} s, memory then {megabytes:.0f} MB")


def timed(tool: Builder, build: Build, *options: str) -> float:
    """Seconds that a build takes."""
    command = [*build.command(tool, build.hash()), *options]
    begin = time.monotonic()
    done = subprocess.run(
        command, cwd=build.source.context, env={**os.environ, **tool.variables}, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr.decode()[-2000:])
    return time.monotonic() - begin


def layers(image: Image, base: Image) -> Iterator[Layer]:
    """What the image has on top of its base, first to last."""
    below = len(base.history())
    history: list[dict[str, Any]] = image.history()
    for entry in reversed(history[: len(history) - below]):
        line = " ".join(entry["CreatedBy"].removeprefix("/bin/sh -c ").split())
        yield Layer(line.partition(" # buildkit")[0], entry["Size"] / MEGABYTE)


def report(title: str, base: Image, found: list[Layer]) -> None:
    """A table."""
    print(
        f"{title}: {sum(layer.megabytes for layer in found):.0f} MB on a base of {base.attrs['Size'] / MEGABYTE:.0f} MB"
    )
    for layer in found:
        if layer.megabytes >= SHOWN_MEGABYTES:
            print(f"  {layer.megabytes:8.1f} MB  {layer.line[:90]}")


def started(client: docker.DockerClient, image: Image) -> tuple[float, float]:
    """Seconds from start to healthy, without a network, and the memory that is used then (MB)."""
    container: Container = client.containers.run(
        str(image.id),
        detach=True,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/tmp": ""},  # noqa: S108 - of the container
    )
    begin = time.monotonic()
    try:
        while (health := container.attrs.get("State", {}).get("Health", {}).get("Status")) != "healthy":
            if time.monotonic() - begin > START_SECONDS:
                sys.exit(f"it is {health} after {START_SECONDS} s:\n{container.logs().decode()[-2000:]}")
            time.sleep(0.2)
            container.reload()
        seconds = time.monotonic() - begin
        stats: Any = container.stats(stream=False)
        memory = stats["memory_stats"]
        return seconds, (memory["usage"] - memory["stats"].get("inactive_file", 0)) / MEGABYTE
    finally:
        container.remove(force=True)


if __name__ == "__main__":
    main()
