"""pytest's fixtures for tests against a local Modal; pytest finds them by this package's entry point.

`local_modal` is one for the session, `modal_environment` an environment of a test's own in it, and `modal_client_env`
the variables with which another process uses that. Imports nothing but pytest before a fixture is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from local_modal.testing.connection import LocalModal

IMAGE_OPTION = "local_modal_image"


def pytest_addoption(parser: pytest.Parser) -> None:
    """--local-modal-image, and the same in a configuration file."""
    text = "run the tests' local Modal in a container of this image, instead of as a process (which takes Linux)"
    parser.getgroup("local-modal").addoption("--local-modal-image", metavar="IMAGE", help=text)
    parser.addini(IMAGE_OPTION, text, default="")


@pytest.fixture(scope="session")
def local_modal(pytestconfig: pytest.Config) -> Iterator[LocalModal]:
    """A local Modal for the session: a process, or a container where an image is named.

    A conftest.py may have a fixture of this name in its stead that makes its own.
    """
    image = pytestconfig.getoption(IMAGE_OPTION) or pytestconfig.getini(IMAGE_OPTION)
    if image:
        from local_modal.testing.container import LocalModalContainer  # noqa: PLC0415 - not before it is needed

        container = LocalModalContainer(image)
        if bundle := os.environ.get("SSL_CERT_FILE"):
            container.with_ca_bundle(bundle)
        with container:
            yield container
    elif sys.platform != "linux":
        raise pytest.UsageError("local Modal as a process takes Linux; name an image: --local-modal-image IMAGE")
    else:
        from local_modal.testing.process import LocalModalProcess  # noqa: PLC0415 - not before it is needed

        with LocalModalProcess() as process:
            yield process


@pytest.fixture
def modal_environment(local_modal: LocalModal, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a fresh Modal environment, deleted after the test with everything in it.

    Meanwhile this process's client is connected to it: `app.deploy()` and `modal.Function.from_name(…)` are about it.
    """
    import modal  # noqa: PLC0415 - not before it is needed

    name = f"test-{uuid4().hex[:12]}"
    for variable, value in local_modal.client_env().items():
        monkeypatch.setenv(variable, value)
    held = modal.client._Client._client_from_env
    if held is not None and held.server_url != local_modal.get_url():  # never another Modal, the user's account say
        monkeypatch.setattr(modal.client._Client, "_client_from_env", None)
    modal.Environment.objects.create(name)
    monkeypatch.setenv("MODAL_ENVIRONMENT", name)
    try:
        yield name
    finally:
        modal.Environment.objects.delete(name)


@pytest.fixture
def modal_client_env(local_modal: LocalModal, modal_environment: str) -> dict[str, str]:
    """The variables for another process: this one's, and those that connect its client to this test's environment."""
    return {**os.environ, **local_modal.client_env(), "MODAL_ENVIRONMENT": modal_environment}
