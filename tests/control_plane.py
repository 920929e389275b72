"""A control plane in the test's own process, for what is looked at from the other side of its port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from local_modal.runtime.policy import Policy
from local_modal.server import ControlPlane
from local_modal.settings import Settings


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[ControlPlane]:
    """One that listens on a port that was free, and takes small inputs only."""
    given = {"home": folder / "home", "cache": folder / "cache", "port": 0, "max_input_bytes": 1 << 20, **settings}
    control_plane = ControlPlane(Settings(**given), Policy())
    await control_plane.start()
    try:
        yield control_plane
    finally:
        await control_plane.stop()


def token(plane: ControlPlane) -> dict[str, str]:
    """Metadata that opens its RPCs."""
    credentials = plane.plane.credentials
    return {"x-modal-token-id": credentials.token_id, "x-modal-token-secret": credentials.token_secret}
