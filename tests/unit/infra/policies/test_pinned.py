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
