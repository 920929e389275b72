"""The released server as it is, by variables alone: POST /workflows/run over each transport, and whose block it is.

One server a transport for all tests; a stand-in says whose an API key is. What the engine makes of values and errors
over each transport is tested elsewhere, and what a door makes of a malformed request.
"""

import base64
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import cv2
import numpy as np
import pytest
import requests

from infra.transports import HTTP, NATIVE, WEBSOCKET, server_variables
from tests.chain.doors import Doors, doors_of
from tests.chain.released import ReleasedServer
from tests.chain.roboflow import platform
from tests.chain.server import ROOT
from tests.chain.workflows import IMAGE, PARAMETER, single
from tests.contract.conftest import LocalModal

TRANSPORTS = (NATIVE, HTTP, WEBSOCKET)
KEYS: dict[str, Any] = {
    "key-of-acme": "acme",
    "key-of-rival": "rival",
    "twice": "acme&workspace_id=rival",
    "escaped": "acme%2erival",
    "dotted": "acme.rival",
    "path": "../acme",
    "long": "a" * 129,
    "unicode": "àcme",
    "nul": "acme\0",
    "line": "acme\r\nModal-Key: x",
    "number": 7,
    "list": ["acme"],
    "empty": "",
    "nobody": "anonymous",
    "unauthorized": "unauthorized",
}
"""What the stand-in answers as the workspace of a key."""
ODD = sorted(KEYS.keys() - {"key-of-acme", "key-of-rival"})
CANARY = "SERVER_CANARY"
SERVER = {
    "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "False",
    "MODAL_ALLOW_ANONYMOUS_EXECUTION": "False",
    "MODAL_ENVIRONMENT": "main",
    "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "modal",
    "WORKFLOWS_PLUGINS": "modal_app.server.plugin",
    CANARY: "of the server",
}

WHERE = single(
    f"""
    def run(self, number):
        import gc
        classes = ("Executor", "Session")
        found = [each for each in gc.get_objects() if type(each).__name__ in classes]
        mine = sorted({{each.workspace_id for each in found if hasattr(each, "workspace_id")}})
        return {{"value": number * 2, "workspaces": mine, "canary": os.environ.get("{CANARY}", "none")}}
    """,
    {"number": PARAMETER},
    ("value", "workspaces", "canary"),
)
MIRROR = single(
    """
    def run(self, image):
        flipped = np.ascontiguousarray(image.numpy_image[:, ::-1])
        return {"value": WorkflowImageData.copy_and_replace(image, numpy_image=flipped)}
    """,
    {"image": IMAGE},
)
FAILS = single(
    """
    def run(self, number):
        rest = number - 1
        return {"value": 1 / rest}
    """,
    {"number": PARAMETER},
)


@pytest.fixture(scope="module")
def doors(plane: LocalModal) -> Doors:
    return doors_of(plane)


@pytest.fixture(scope="module")
def servers(plane: LocalModal, doors: Doors) -> Iterator[dict[str, ReleasedServer]]:
    """A server for each transport, with the variables that `make server-env` gives for it."""
    outputs = doors.outputs(SERVER | plane_address(plane), plane.client_env())
    with ExitStack() as stack:
        url = stack.enter_context(platform(KEYS))
        started = {}
        for transport in TRANSPORTS:  # all at once, before the first is waited for
            plain, secret = server_variables(outputs, transport)
            path = {"PYTHONPATH": str(ROOT)} if transport == NATIVE else {}
            started[transport] = ReleasedServer({**plain, **secret, **path, "API_BASE_URL": url})
            stack.callback(started[transport].close)
        for server in started.values():
            server.__enter__()
        yield started


def plane_address(plane: LocalModal) -> dict[str, str]:
    return {name: value for name, value in plane.client_env().items() if not name.startswith("MODAL_TOKEN_")}


@pytest.fixture(params=TRANSPORTS)
def server(servers: dict[str, ReleasedServer], request: pytest.FixtureRequest) -> ReleasedServer:
    return servers[request.param]


def result(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    assert isinstance(output, dict)
    return output


def test_a_workflow_runs_in_a_sandbox_of_the_keys_own_workspace(server: ReleasedServer) -> None:
    for key, workspace in (("key-of-acme", "acme"), ("key-of-rival", "rival"), ("key-of-acme", "acme")):
        output = result(server.run(WHERE, key, number=21))
        assert output == {"value": 42, "workspaces": [workspace], "canary": "none"}


def test_a_picture_goes_there_and_comes_back(server: ReleasedServer) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30] = (200, 40, 10)
    encoded = {"type": "base64", "value": base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode()}
    returned = result(server.run(MIRROR, "key-of-acme", image=encoded))["value"]
    back = cv2.imdecode(np.frombuffer(base64.b64decode(returned["value"]), np.uint8), cv2.IMREAD_COLOR)
    assert back.shape == picture.shape
    np.testing.assert_allclose(back[:, 40:].mean(axis=(0, 1)), (200, 40, 10), atol=6)
    np.testing.assert_allclose(back[:, :20].mean(axis=(0, 1)), 0, atol=6)


def test_a_failing_block_is_a_400_that_names_the_line(server: ReleasedServer) -> None:
    answer = server.run(FAILS, "key-of-acme", number=1)
    assert answer.status_code == 400
    assert "ZeroDivisionError" in answer.text
    assert "line 4" in answer.text


@pytest.mark.parametrize("key", [None, "unknown", *ODD])
def test_a_key_of_no_workspace_or_of_an_odd_one_runs_nothing(server: ReleasedServer, key: str | None) -> None:
    answer = server.run(WHERE, key, number=1)
    assert answer.status_code in {400, 401, 403, 500}, answer.text
    assert '"workspaces"' not in answer.text


def test_nothing_of_the_stack_is_in_a_servers_log(servers: dict[str, ReleasedServer], doors: Doors) -> None:
    for server in servers.values():
        assert "Started server process" in server.log
        assert doors.token_secret not in server.log
        assert "Traceback" not in server.log
    assert os.environ.get(CANARY) is None
