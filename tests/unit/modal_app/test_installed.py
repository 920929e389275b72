"""The installed version is reported, not the one that was meant."""

import importlib.metadata

import pytest

from modal_app import installed
from modal_app.contract.response import build_response


def test_the_version_is_that_of_the_package_here() -> None:
    version = importlib.metadata.version("inference-cpu")
    assert version == installed.INFERENCE_VERSION
    assert build_response()["inference"] == version


@pytest.mark.parametrize("distribution", installed.DISTRIBUTIONS)
def test_any_of_the_packages_counts(distribution: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name != distribution:
            raise importlib.metadata.PackageNotFoundError(name)
        return "9.9"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert installed._find() == "9.9"


def test_where_there_is_none_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "DISTRIBUTIONS", ("not-there",))
    assert installed._find() == installed.UNKNOWN
