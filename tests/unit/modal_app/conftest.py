"""Loads the engine once, past the warnings that it and its dependencies raise: they are not this project's."""

import os
import warnings
from pathlib import Path

import pytest

os.environ.setdefault("DISABLE_VERSION_CHECK", "True")
os.environ.setdefault("TELEMETRY_OPT_OUT", "True")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import inference.core  # noqa: F401 - first: it installs the configuration that the engine reads

    import modal_app.contract.kinds
    import modal_app.sandbox.runner  # noqa: F401

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The engine's serialiser of video metadata uses a deprecated name of pydantic's."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"))
