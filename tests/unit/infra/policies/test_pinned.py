"""Whatever could be something else tomorrow is reported."""

import pytest

from infra.policies.pinned import PINNED
from tests.unit.infra.policies.checking import reports, resource


@pytest.mark.parametrize("tag", [None, "", "blocks", "blocks:latest", "staging/blocks:main"])
def test_an_app_in_an_image_without_a_tag_that_stays_is_reported(tag: str | None) -> None:
    assert len(reports(PINNED, resource("App", imageTag=tag))) == 1


def test_an_app_in_a_particular_image_is_let_be() -> None:
    assert reports(PINNED, resource("App", imageTag="staging/blocks:1.8.3-0123456789ab")) == []


@pytest.mark.parametrize("packages", ["shapely", "a==1,shapely>=2", "a[b,c]", "a==*", "git+https://x"])
def test_a_package_without_an_exact_version_is_reported(packages: str) -> None:
    settings = {"CUSTOM_BLOCKS_INFERENCE_VERSION": "1.8.3", "CUSTOM_BLOCKS_PACKAGES": packages}
    assert len(reports(PINNED, resource("Image", tag="a:1", settings=settings))) == 1


@pytest.mark.parametrize("version", ["", "latest", ">=1", "1.8.*"])
def test_so_is_inference_without_one(version: str) -> None:
    settings = {"CUSTOM_BLOCKS_INFERENCE_VERSION": version}
    assert len(reports(PINNED, resource("Image", tag="a:1", settings=settings))) == 1


def test_exact_versions_are_let_be() -> None:
    settings = {"CUSTOM_BLOCKS_INFERENCE_VERSION": "1.8.3", "CUSTOM_BLOCKS_PACKAGES": "a[b,c]==1.0,d==2!1.0+x"}
    assert reports(PINNED, resource("Image", tag="a:1", settings=settings)) == []


DIGEST = f"@sha256:{'0' * 64}"


@pytest.mark.parametrize("name", ["", "images", "images:latest", "registry:5000/images"])
def test_a_server_image_without_a_tag_that_stays_is_reported(name: str) -> None:
    assert len(reports(PINNED, resource("ServerImage", name=name, buildArgs={"PYTHON_IMAGE": f"p:3.11{DIGEST}"}))) == 1


@pytest.mark.parametrize("base", ["", "python", "python:latest", "registry:5000/python"])
def test_so_is_one_on_a_base_that_moves(base: str) -> None:
    assert len(reports(PINNED, resource("ServerImage", name="a:1", buildArgs={"PYTHON_IMAGE": base}))) == 1


@pytest.mark.parametrize("stack", ["production", "production-eu"])
@pytest.mark.parametrize("base", ["", "python:3.11-slim-bookworm", "python@sha256:0123", f"python{DIGEST}-x"])
def test_in_production_a_base_has_a_digest(stack: str, base: str) -> None:
    image = resource("ServerImage", "it", stack, name="a:1", buildArgs={"PYTHON_IMAGE": base})
    (said,) = reports(PINNED, image)
    assert "set serverBase to NAME:TAG@sha256:" in said


@pytest.mark.parametrize(
    ("stack", "base"),
    [
        ("staging", "python:3.11-slim-bookworm"),
        ("local", f"registry:5000/python{DIGEST}"),
        ("production", f"python:3.11{DIGEST}"),
    ],
)
def test_a_pinned_server_image_is_let_be(stack: str, base: str) -> None:
    image = resource("ServerImage", "it", stack, name="registry:5000/a:1", buildArgs={"PYTHON_IMAGE": base})
    assert reports(PINNED, image) == []
