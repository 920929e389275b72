"""A control plane for each test that asks for one, and a server process set up to call it."""

from collections.abc import Iterator

import pytest

from modal_app.server import connection, policy
from tests.unit.modal_app.server.control_plane import ControlPlane, serve


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
