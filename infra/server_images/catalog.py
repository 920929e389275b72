"""The images that there are, and the arguments that their Dockerfiles take."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.app_facts import ROOT
from infra.server_images.errors import ImageError

REPOSITORY = "inference-custom-blocks"
"""All images are tags of one repository, which begin with the image's name."""
BASE = "PYTHON_IMAGE"
TORCH = "TORCH_BACKEND"
"""Arguments of the Dockerfiles: the base image, and which wheels of torch; empty: those of the default index."""
ARGUMENT = re.compile(r"^ARG[ \t]+([A-Za-z_]\w*)(?:=(\S*))?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """What an image is built from."""

    dockerfile: Path
    context: Path = ROOT
    """The folder that its COPY lines read."""

    @property
    def path(self) -> Path:
        """Where the Dockerfile is."""
        return self.context / self.dockerfile


IMAGES: Mapping[str, Source] = {
    "cpu": Source(Path("docker/Dockerfile.onnx.cpu")),
    "gpu": Source(Path("docker/Dockerfile.onnx.gpu")),
    "local-modal": Source(Path("docker/Dockerfile.local-modal")),
}
SERVERS = ("cpu", "gpu")
"""Those of them that are inference servers."""


def layers(registry: str, image: str) -> str:
    """Where a registry keeps the layers of an image for the next build: a tag that moves with every one."""
    return f"{registry}/{REPOSITORY}:{image}-layers"


def arguments(source: Source, given: Mapping[str, str]) -> dict[str, str]:
    """Every argument of the Dockerfile with its value: the given one, or the Dockerfile's own.

    Raises:
        ImageError: there is no such Dockerfile, or it takes no such argument.
    """
    try:
        # The first declaration has the default; later ones bring an argument into a stage.
        declared = {name: default for name, default in reversed(ARGUMENT.findall(source.path.read_text("utf-8")))}
    except OSError as error:
        raise ImageError(f"{source.dockerfile} can't be read: {error.strerror}") from None
    if strange := sorted(given.keys() - declared.keys()):
        takes = ", ".join(sorted(declared)) or "none"
        raise ImageError(f"{source.dockerfile} takes no argument {', '.join(strange)}; it takes {takes}")
    return {**declared, **given}
