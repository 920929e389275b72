"""The application of these tests, deployed once a file, its addresses and a proxy token for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import modal
import pytest

from tests.contract.conftest import Deploy
from tests.contract.web.client import Urls

APP = "web-doors"
SOURCE = Path(__file__).with_name("app.py").read_text()


@pytest.fixture(scope="module")
def deployed(deploy: Deploy) -> str:
    return deploy(SOURCE).stdout


@pytest.fixture(scope="module")
def url(environment: str, deployed: str) -> Urls:  # noqa: ARG001 - deploys
    """Address of an endpoint by ``Class.method`` or the function's name, as the client has it."""

    def of(name: str) -> str:
        cls, _, method = name.rpartition(".")
        found: Any
        if cls:
            parameters = {"workspace_id": "w"} if cls == "Session" else {}
            instance = modal.Cls.from_name(APP, cls, environment_name=environment)(**parameters)
            found = getattr(instance, method)
        else:
            found = modal.Function.from_name(APP, method, environment_name=environment)
        return str(found.get_web_url())

    return of


@pytest.fixture(scope="module")
def token(environment: str) -> Iterator[dict[str, str]]:  # noqa: ARG001 - sets the client up
    made = modal.Workspace.from_context().proxy_tokens.create()
    yield {"Modal-Key": made.token_id, "Modal-Secret": made.token_secret}
    modal.Workspace.from_context().proxy_tokens.delete(made.token_id)


@pytest.fixture(scope="module")
def http(token: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60, headers=token) as client:
        yield client
