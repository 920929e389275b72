"""An SBOM names every package of an inventory, and is valid CycloneDX."""

import json

import pytest

from infra.server_images.errors import ImageError
from infra.supply_chain.sbom import sbom

STATUS = """\
Package: base-files
Status: install ok installed
Maintainer: Somebody <somebody@example.org>
Architecture: amd64
Version: 12.4+deb12u5
Description: Debian base system miscellaneous files

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""
RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'
PYTHON = [["Jinja2", "3.1.6", "BSD-3-Clause"], ["zope.interface", "7.2", ""], ["odd", "1", "As is, mostly"]]
FOUND = {"python": PYTHON, "dpkg": STATUS, "release": RELEASE}


def test_every_package_is_a_component_with_its_address() -> None:
    bom = json.loads(sbom("images:cpu", "sha256:abc", FOUND))
    assert {item["purl"] for item in bom["components"]} == {
        "pkg:deb/debian/base-files@12.4%2Bdeb12u5?arch=amd64&distro=debian-12",
        "pkg:pypi/jinja2@3.1.6",
        "pkg:pypi/odd@1",
        "pkg:pypi/zope-interface@7.2",
    }
    assert bom["metadata"]["component"]["name"] == "images"
    assert bom["metadata"]["component"]["version"] == "cpu@sha256:abc"
    (image,) = (item for item in bom["dependencies"] if item["ref"] == "image")
    assert len(image["dependsOn"]) == 4


def test_licenses_are_expressions_where_they_are_and_names_where_not() -> None:
    bom = json.loads(sbom("images:cpu", "sha256:abc", FOUND))
    licenses = {item["name"]: item.get("licenses") for item in bom["components"]}
    assert licenses["Jinja2"] == [{"acknowledgement": "declared", "expression": "BSD-3-Clause"}] or licenses[
        "Jinja2"
    ] == [{"expression": "BSD-3-Clause"}]
    assert licenses["odd"] == [{"license": {"name": "As is, mostly"}}]
    assert licenses["base-files"] is None


def test_an_image_in_which_nothing_is_found_has_none() -> None:
    with pytest.raises(ImageError, match="nothing was found in images:cpu"):
        sbom("images:cpu", "sha256:abc", {"python": [], "dpkg": "", "release": ""})
