"""An SBOM of a real image has every package that the image's own tools list."""

import json
import re
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from infra.app_facts import ROOT
from infra.server_images.errors import ImageError
from infra.supply_chain.sbom import write_sbom


@pytest.fixture(scope="module")
def reference(base: str) -> str:
    """The name of the base image: small, with Debian packages and Python."""
    return base.partition(": ")[0]


def said(engine: docker.DockerClient, reference: str, *command: str) -> set[str]:
    output: bytes = engine.containers.run(reference, list(command), entrypoint="", network_mode="none", remove=True)
    return set(output.decode().split())


def test_it_names_what_dpkg_and_python_of_the_image_name(
    engine: docker.DockerClient, reference: str, tmp_path: Path
) -> None:
    bom = json.loads(write_sbom(engine, reference, tmp_path).read_text())
    packages = said(engine, reference, "dpkg-query", "--show", "--showformat=${Package}=${Version}\n")
    assert len(packages) > 50
    found = {item["purl"].split(":")[1].split("/")[0]: set[str]() for item in bom["components"]}
    for item in bom["components"]:
        found[item["purl"].split(":")[1].split("/")[0]].add(f"{item['name']}={item['version']}")
    assert found["deb"] == packages
    script = "import importlib.metadata as m; print(*(f'{d.name}={d.version}' for d in m.distributions()))"
    assert found.get("pypi", set()) == said(engine, reference, "python3", "-I", "-c", script)
    assert bom["metadata"]["component"]["version"].endswith(str(engine.images.get(reference).id))


def test_an_image_that_is_not_built_is_named(engine: docker.DockerClient, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="the engine has no nothing:here: build it first"):
        write_sbom(engine, "nothing:here", tmp_path)


def test_the_command_line_builds_an_image_and_writes_its_sbom(
    engine: docker.DockerClient,
    base: str,  # noqa: ARG001 - the image is built on it
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m"]
    built = subprocess.run(
        [*command, "infra.server_images", "build", "local-modal"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (line,) = built.stdout.splitlines()
    assert re.fullmatch(r"inference-custom-blocks:local-modal sha256:[0-9a-f]{64}", line)
    assert engine.images.get("inference-custom-blocks:local-modal").id == line.split()[1]
    folder = ["--folder", str(tmp_path)]
    written = subprocess.run(
        [*command, "infra.supply_chain", "sbom", "local-modal", *folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert written.stdout == f"{tmp_path}/local-modal.cdx.json\n"
    bom = json.loads((tmp_path / "local-modal.cdx.json").read_text())
    assert {"modal", "cryptography", "uv"} <= {item["name"] for item in bom["components"]}
