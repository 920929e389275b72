"""The software bill of materials of a built image, CycloneDX: read from inside the image, not from what it asked for.

Components are the Python distributions that the image's own interpreter finds and the Debian packages that its dpkg
knows. Files that belong to neither, such as this repository's own, are not among them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
from cyclonedx.contrib.license.exceptions import InvalidLicenseExpressionException
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from docker.errors import ContainerError, ImageNotFound
from packageurl import PackageURL

from infra.server_images.errors import ImageError

INVENTORY = """
import importlib.metadata, json, pathlib
def text(path):
    path = pathlib.Path(path)
    return path.read_text("utf-8", "replace") if path.exists() else ""
found = [[item.metadata["Name"], item.version, item.metadata["License-Expression"] or ""]
         for item in importlib.metadata.distributions()]
print(json.dumps({"python": found, "dpkg": text("/var/lib/dpkg/status"), "release": text("/etc/os-release")}))
"""
"""Runs in the image, by its own Python."""
FIELD = re.compile(r"^(Package|Version|Architecture|Status): *(.*)$", re.MULTILINE)


def write_sbom(client: docker.DockerClient, reference: str, folder: Path) -> Path:
    """Writes `<name>.cdx.json` of a built image, and says where.

    Raises:
        ImageError: there is no such image, it can't say what is in it, or the result isn't valid CycloneDX.
    """
    text = sbom(reference, str(_image(client, reference).id), inventory(client, reference))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{reference.rpartition(':')[2]}.cdx.json"
    path.write_text(text, "utf-8")
    return path


def inventory(client: docker.DockerClient, reference: str) -> dict[str, Any]:
    """What is in the image, as `INVENTORY` says; run without network and without any privilege."""
    try:
        said = client.containers.run(
            reference,
            ["-I", "-c", INVENTORY],
            entrypoint="python",
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            remove=True,
        )
        found: dict[str, Any] = json.loads(said)
    except (ContainerError, ValueError) as error:
        raise ImageError(f"{reference} can't say what is in it: {' '.join(str(error).split())}") from None
    return found


def sbom(reference: str, image_id: str, found: Mapping[str, Any]) -> str:
    """As JSON of CycloneDX 1.6.

    Args:
        reference: the image's name.
        image_id: the engine's id of it, `sha256:…`.
        found: the inventory: `python` (name, version, license expression), `dpkg` (its status), `release` (os-release).
    """
    name, _, tag = reference.rpartition(":")
    image = Component(name=name, version=f"{tag}@{image_id}", type=ComponentType.CONTAINER, bom_ref="image")
    bom = Bom()
    bom.metadata.component = image
    parts = [*_distributions(found["python"]), *_packages(found["dpkg"], found["release"])]
    if not parts:
        raise ImageError(f"nothing was found in {reference}: neither Python distributions nor Debian packages")
    bom.components.update(parts)
    bom.register_dependency(image, parts)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ImageError(f"the SBOM of {reference} isn't valid CycloneDX: {str(wrong.data)[:200]}")
    return text


def _image(client: docker.DockerClient, reference: str) -> Any:
    try:
        return client.images.get(reference)
    except ImageNotFound:
        raise ImageError(f"the engine has no {reference}: build it first, `make images`") from None


def _distributions(found: list[list[str]]) -> Iterator[Component]:
    for name, version, expression in sorted({tuple(item) for item in found}):
        purl = PackageURL("pypi", None, re.sub(r"[-_.]+", "-", name).lower(), version)
        yield _component(name, version, purl, expression)


def _packages(status: str, release: str) -> Iterator[Component]:
    """Those that dpkg has installed (deb822, one paragraph each)."""
    system = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    vendor = system.get("ID", "debian").strip('"')
    distro = f"{vendor}-{system.get('VERSION_ID', '').strip(chr(34))}".rstrip("-")
    for paragraph in status.split("\n\n"):
        fields = dict(FIELD.findall(paragraph))
        if fields.get("Status", "").endswith(" installed"):
            qualifiers = {"arch": fields["Architecture"], "distro": distro}
            purl = PackageURL("deb", vendor, fields["Package"], fields["Version"], qualifiers)
            yield _component(fields["Package"], fields["Version"], purl)


def _component(name: str, version: str, purl: PackageURL, expression: str = "") -> Component:
    component = Component(name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=purl.to_string())
    if expression:
        try:
            component.licenses.add(LicenseFactory().make_with_expression(expression))
        except InvalidLicenseExpressionException:
            component.licenses.add(LicenseFactory().make_with_name(expression))
    return component
