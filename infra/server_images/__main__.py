"""`python -m infra.server_images`: builds one of the images, and pushes it where it is told to."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

import docker

from infra.server_images.build import Build, built_from
from infra.server_images.catalog import BASE, IMAGES, REPOSITORY, TORCH, arguments, layers
from infra.server_images.command import run
from infra.server_images.engine import builder, engine
from infra.server_images.errors import ImageError
from infra.server_images.registry import pinned, push, push_layers


def main(given: Sequence[str] | None = None) -> int:
    """Exit status of what was asked for; 1 with a line on stderr where it can't be done."""
    return run(_parser(), given)


def _build(options: argparse.Namespace) -> int:
    """The log goes to stderr; stdout gets a line for each name of the image, its id or digest after it."""
    source = IMAGES[options.image]
    names = [options.tag or f"{REPOSITORY}:{options.image}", *options.push]
    kept = layers(options.layers, options.image) if options.layers else None
    build = Build(source, arguments(source, dict(options.arg)), tuple(dict.fromkeys(names)), kept)
    with engine() as client:
        tool = builder()
        command = build.command(tool, build.hash())
        environ = {**os.environ, **tool.variables}
        status = subprocess.run(command, cwd=source.context, env=environ, stdout=2, check=False).returncode  # noqa: S603
        if status:
            raise ImageError(f"{source.dockerfile} can't be built (exit status {status}): its log above says why")
        _say_built(client, build.references[0])
        for reference in options.push:
            digest = push(client, reference, _say)
            sys.stdout.write(f"{reference} {pinned(reference, digest)}\n")
        if options.push_layers and kept:
            push_layers(client, build.references[0], kept, _say)
    return 0


def _say_built(client: docker.DockerClient, reference: str) -> None:
    found = built_from(client, reference)
    if found is None:
        raise ImageError(f"{reference} was built and the engine doesn't have it: does the builder go to this engine?")
    sys.stdout.write(f"{reference} {found[0]}\n")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=VALUE, such as {TORCH}= or {BASE}=python@sha256:…")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m infra.server_images", description=(__doc__ or "").partition(": ")[2])
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    build = verbs.add_parser("build", help="build an image, and push it where --push says")
    build.add_argument("image", choices=IMAGES)
    build.add_argument("--tag", help=f"its name here (default: {REPOSITORY}:IMAGE)")
    build.add_argument(
        "--push", action="append", default=[], metavar="REF", help="its name in a registry, HOST/NAME:TAG"
    )
    build.add_argument(
        "--arg", action="append", default=[], type=_argument, metavar="NAME=VALUE", help="of the Dockerfile"
    )
    build.add_argument("--layers", metavar="REGISTRY", help="HOST[/PATH] to take layers from that are the same there")
    build.add_argument("--push-layers", action="store_true", help="leave the image's layers there, for the next build")
    build.set_defaults(run=_build)
    return parser


if __name__ == "__main__":
    sys.exit(main())
