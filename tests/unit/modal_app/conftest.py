"""Loads the engine once, past the warnings that it and its dependencies raise: they are not this project's.

And a control plane for each test that asks for one, with this process set up to call it as a server does.
"""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("DISABLE_VERSION_CHECK", "True")
os.environ.setdefault("TELEMETRY_OPT_OUT", "True")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import inference.core  # noqa: F401 - first: it installs the configuration that the engine reads

    import modal_app.contract.kinds
    import modal_app.sandbox.runner  # noqa: F401

from modal_app.server import connection, policy
from tests.unit.modal_app.server.control_plane import ControlPlane, serve

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The engine's serialiser of video metadata uses a deprecated name of pydantic's."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"))


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlPlane]:
    """The control plane that this process's connection leads to, with credentials that it accepts."""
    connection.check_installation.cache_clear()
    plane = ControlPlane()
    end = serve(plane)
    monkeypatch.setenv("MODAL_SERVER_URL", plane.url)
    monkeypatch.setattr(connection, "MODAL_TOKEN_ID", "ak-test")
    monkeypatch.setattr(connection, "MODAL_TOKEN_SECRET", "as-test")
    monkeypatch.setattr(policy, "MODAL_ALLOW_ANONYMOUS_EXECUTION", False)
    try:
        yield plane
    finally:
        connection.close()
        connection.check_installation.cache_clear()
        end()
