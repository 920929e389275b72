"""Images of the inference server that the stack asks for, and how one is run with the stack's variables."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.components.options import child
from infra.credentials import LOCAL_STACK
from infra.resources import ServerImage
from infra.server_images.catalog import IMAGES, REPOSITORY, Source, arguments, layers
from infra.server_images.context import file_hashes, shown, source_hash
from infra.settings import Settings

ENV_FILE = "server.env"
"""What `make server-env FORMAT=docker FILE=server.env` writes, in the command that is shown."""
PORT = 9001
"""Where the inference server listens."""
HARDENED = "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges"
TAG_CHARS = 12
"""Of the hash, in a tag."""


@dataclass(frozen=True)
class Plan:
    """What an image is to be made of."""

    source: Source
    arguments: Mapping[str, str]
    files: Mapping[str, str]
    """Hashes by path."""

    @property
    def hash(self) -> str:
        """Of all of it."""
        return source_hash(self.files, self.arguments)


def planned(settings: Settings, sources: Mapping[str, Source] = IMAGES) -> dict[str, Plan]:
    """The images that the stack asks for, by name.

    Raises:
        ImageError: a Dockerfile isn't there, or doesn't take what the stack sets.
    """
    return {
        name: Plan(sources[name], arguments(sources[name], settings.server_arguments[name]), file_hashes(sources[name]))
        for name in settings.server_images
    }


class ServerImages(pulumi.ComponentResource):
    """An image for each plan. Its tag is made of what it holds: another image has another tag."""

    def __init__(
        self, settings: Settings, plans: Mapping[str, Plan], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("custom-blocks:index:ServerImages", "server-images", {}, opts)
        self._settings = settings
        self.images = {name: self._image(name, plan) for name, plan in plans.items()}
        self.register_outputs({})

    def _image(self, name: str, plan: Plan) -> ServerImage:
        settings, registry = self._settings, self._settings.server_registry
        repository = f"{registry}/{REPOSITORY}" if registry else REPOSITORY
        return ServerImage(
            f"server-{name}",
            name=f"{repository}:{name}-{settings.facts.versions['inference']}-{plan.hash[:TAG_CHARS]}",
            layers=layers(registry, name) if registry else None,
            dockerfile=plan.source.dockerfile.as_posix(),
            build_args=plan.arguments,
            files=shown(plan.files),
            source_hash=plan.hash,
            # Protected, it couldn't give way to the next one.
            opts=child(self, retain=settings.protect),
        )

    @property
    def outputs(self) -> dict[str, dict[str, pulumi.Output[str]]]:
        """By image: the name to run it by, its ids, and the command that runs it."""
        is_local = self._settings.stack == LOCAL_STACK
        return {
            name: {
                "reference": image.reference,
                "imageId": image.image_id,
                "repoDigest": image.repo_digest,
                "run": image.reference.apply(lambda reference: run_command(reference, is_local=is_local)),
            }
            for name, image in self.images.items()
        }


def run_command(reference: str, *, is_local: bool) -> str:
    """Runs the image with a stack's variables, which are no part of it: neither secrets nor settings are built in.

    Local Modal listens on this machine's loopback, which a container reaches on the host's network only; the server
    then listens there too, and not for others.
    """
    network = "--network host --env HOST=127.0.0.1" if is_local else f"--publish {PORT}:{PORT}"
    return f"docker run --rm --env-file {ENV_FILE} {network} {HARDENED} {reference}"
