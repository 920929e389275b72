"""An image in a registry: pushed by the engine, with the credentials of the docker command line's own configuration.

`docker login`, a credential helper, or another DOCKER_CONFIG: the SDK reads what the command line reads. No credential
passes through Pulumi, its state, an argument or a log.
"""

from collections.abc import Callable
from typing import Any

import docker
from docker import auth
from docker.errors import APIError, NotFound
from docker.utils import parse_repository_tag

from infra.server_images.errors import ImageError

REFUSALS = ("unauthorized", "no basic auth", "denied", "authentication required", "access forbidden")
ABSENT = ("manifest unknown", "name unknown", "not known to registry", ": not found")
"""What engines and registries say, in lower case."""


def push(client: docker.DockerClient, reference: str, progress: Callable[[str], None]) -> str:
    """Pushes an image of the engine, NAME:TAG; gives the digest that the registry knows it by, `sha256:…`.

    Args:
        client: of the engine.
        reference: the image's name, which says where it goes.
        progress: takes a line for each step; what it raises ends the push.

    Raises:
        ImageError: the registry refuses it, or can't be reached.
    """
    repository, tag = parse_repository_tag(reference)
    digest = ""
    try:
        for event in client.api.push(repository, tag=tag, stream=True, decode=True):
            if said := event.get("error"):
                raise ImageError(_refusal(reference, str(said)))
            digest = (event.get("aux") or {}).get("Digest", digest)
            progress(_line(event))
    except APIError as error:
        raise ImageError(_refusal(reference, error.explanation or str(error))) from None
    if not digest:
        raise ImageError(f"{reference}: the push ended and the engine named no digest: push it again")
    return digest


def push_layers(client: docker.DockerClient, built: str, layers: str, progress: Callable[[str], None]) -> None:
    """Leaves the layers of an image that was built in a registry, for the next build to begin with.

    Raises:
        ImageError: the registry refuses them, or can't be reached.
    """
    client.images.get(built).tag(layers)
    try:
        push(client, layers, progress)
    finally:
        client.api.remove_image(layers, noprune=True)


def digest_of(client: docker.DockerClient, reference: str) -> str | None:
    """The digest that a registry has under NAME:TAG; None where the registry says that it has none.

    Raises:
        ImageError: it refuses to tell, or can't be reached.
    """
    try:
        return client.images.get_registry_data(reference).id
    except APIError as error:
        said = error.explanation or str(error)
        if isinstance(error, NotFound) and any(word in said.lower() for word in ABSENT):
            return None
        raise ImageError(_refusal(reference, said)) from None


def pinned(reference: str, digest: str) -> str:
    """The name that stays that image's, NAME@sha256:…"""
    return f"{parse_repository_tag(reference)[0]}@{digest}"


def _refusal(reference: str, said: str) -> str:
    host = auth.resolve_repository_name(parse_repository_tag(reference)[0])[0]
    said = " ".join(said.split())
    if any(word in said.lower() for word in REFUSALS):
        return f"the registry refuses {reference} ({said}): `docker login {host}` with an account that may write there"
    return f"{reference} can't be brought to or read from its registry ({said}): check the name and the network"


def _line(event: dict[str, Any]) -> str:
    """A step's line without its moving bar."""
    status = str(event.get("status", ""))
    return f"{event['id']}: {status}" if "id" in event else status
