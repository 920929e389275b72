"""The build of an image: the command that does it, and what tells an image that is built already."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import ImageNotFound

from infra.server_images.catalog import Source
from infra.server_images.context import file_hashes, source_hash
from infra.server_images.engine import Builder

LABEL = "inference-custom-blocks.source"
"""Label of an image: the hash of what it was built from."""
AUTHORITIES = "SSL_CERT_FILE"
"""Variable that names the certificate authorities this machine trusts; a private one reaches the build by it."""


@dataclass(frozen=True)
class Build:
    """One image to build."""

    source: Source
    arguments: Mapping[str, str]
    references: tuple[str, ...]
    """Names that it gets, NAME:TAG."""
    layers: str | None = None
    """NAME:TAG of an image in a registry whose layers are taken where they are the same; its absence is no error.

    The image that is built then says what made its own layers, those of earlier stages too, so that a push makes it
    one to take layers from.
    """

    def hash(self) -> str:
        """Of what it is built from now."""
        return source_hash(file_hashes(self.source), self.arguments)

    def command(self, with_: Builder, digest: str, environ: Mapping[str, str] = os.environ) -> list[str]:
        """Runs in the context's folder; its log is plain lines."""
        options = ["--progress", "plain", "--file", str(self.source.dockerfile), "--label", f"{LABEL}={digest}"]
        for reference in self.references:
            options += ["--tag", reference]
        for name, value in sorted(self.arguments.items()):
            options += ["--build-arg", f"{name}={value}"]
        if self.layers:
            options += ["--cache-from", self.layers, "--build-arg", "BUILDKIT_INLINE_CACHE=1"]
        authorities = environ.get(AUTHORITIES)
        if authorities and Path(authorities).is_file():
            options += ["--secret", f"id=ca_bundle,src={authorities}"]
        return [*with_.command, *options, "."]


def built_from(client: docker.DockerClient, reference: str) -> tuple[str, str] | None:
    """An image of the engine: its id, and the hash of what it was built from, empty where nothing says so."""
    try:
        attributes: dict[str, Any] = client.images.get(reference).attrs
    except ImageNotFound:
        return None
    labels = (attributes.get("Config") or {}).get("Labels") or {}
    return str(attributes["Id"]), str(labels.get(LABEL, ""))
