"""The variables of each transport: the right token, addresses as Modal gave them, nothing that is not read there."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from infra.converge.errors import ConvergeError
from infra.transports import BYTES_ONLY, TRANSPORTS, check_transport, server_variables

DOORS = {"http": "https://a--b.modal.run", "websocket": "https://a--c.modal.run", "session": "https://a--d.modal.run"}
OUTPUTS: dict[str, Any] = {
    "serverEnv": {
        "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "False",
        "CUSTOM_BLOCKS_TIMEOUT_SECONDS": "20",
        "GREETING": "hello",
        "MODAL_ALLOW_ANONYMOUS_EXECUTION": "False",
        "MODAL_ENVIRONMENT": "main",
        "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "modal",
        "WORKFLOWS_PLUGINS": "modal_app.server.plugin",
    },
    "serviceUser": {"tokenId": "ak-1", "tokenSecret": "as-1"},
    "proxyToken": {"tokenId": "wk-1", "tokenSecret": "ws-1"},
    "serverSecrets": {"PASSWORD": "se cret"},
    "doors": DOORS,
}
RELEASED = {
    "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "False",
    "GREETING": "hello",
    "MODAL_ALLOW_ANONYMOUS_EXECUTION": "False",
    "MODAL_WEB_ENDPOINT_URL": DOORS["http"],
    "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "modal",
}
"""What a released server gets on every web transport."""


def test_natively_it_is_the_plug_in_with_the_service_users_token() -> None:
    plain, secret = server_variables(OUTPUTS)
    assert plain == OUTPUTS["serverEnv"]
    assert secret == {"MODAL_TOKEN_ID": "ak-1", "MODAL_TOKEN_SECRET": "as-1", "PASSWORD": "se cret"}


@pytest.mark.parametrize(
    ("transport", "own"),
    [
        ("http", {"WEBEXEC_TRANSPORT": "http"}),
        ("websocket", {"WEBEXEC_TRANSPORT": "websocket", "MODAL_WS_ENDPOINT_URL": DOORS["websocket"]}),
        ("session", {"WEBEXEC_TRANSPORT": "websocket", "MODAL_WS_ENDPOINT_URL": DOORS["session"], **BYTES_ONLY}),
    ],
)
def test_a_released_server_gets_the_proxy_token_and_addresses_and_nothing_of_the_plug_ins(
    transport: str, own: dict[str, str]
) -> None:
    plain, secret = server_variables(OUTPUTS, transport)
    assert plain == RELEASED | own
    assert secret == {"MODAL_TOKEN_ID": "wk-1", "MODAL_TOKEN_SECRET": "ws-1", "PASSWORD": "se cret"}


@pytest.mark.parametrize(("variables", "loads"), [({}, True), (BYTES_ONLY, False)], ids=["as it is", "session"])
def test_on_a_session_the_released_server_opens_no_file_that_an_answer_names(
    tmp_path: Path, variables: dict[str, str], loads: bool
) -> None:
    path = tmp_path / "secret.png"
    cv2.imwrite(str(path), np.zeros((5, 5, 3), np.uint8))
    program = (
        "import sys; import inference.core.interfaces.roboflow_platform_client; "
        "from roboflow_workflows.core_steps.common.deserializers import deserialize_image_kind as read; "
        "read('answer', {'type': 'file', 'value': sys.argv[1]})"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, path],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode == 0) is loads
    assert loads or "is disabled" in result.stderr


def test_local_modal_is_reached_past_a_proxy() -> None:
    local = {**OUTPUTS, "serverUrl": "http://127.0.0.1:9171", "doors": {"http": "http://127.0.0.1:9171/web/x--y"}}
    plain, _ = server_variables(local, "http")
    assert (plain["MODAL_WEB_ENDPOINT_URL"], plain["NO_PROXY"]) == ("http://127.0.0.1:9171/web/x--y", "127.0.0.1")
    assert "NO_PROXY" not in server_variables(OUTPUTS, "http")[0]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_where_secrets_are_hidden_so_are_the_tokens(transport: str) -> None:
    hidden = {**OUTPUTS, "serviceUser": "[secret]", "proxyToken": "[secret]", "serverSecrets": "[secret]"}
    plain, secret = server_variables(hidden, transport)
    assert "MODAL_TOKEN_ID" not in plain
    assert set(secret) == {"MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "(serverSecrets)"}


@pytest.mark.parametrize("doors", [None, {}, {"http": DOORS["http"]}, {"websocket": DOORS["websocket"]}])
def test_what_isnt_deployed_cant_be_connected_to(doors: dict[str, str] | None) -> None:
    with pytest.raises(
        ConvergeError, match=r"stack staging has deployed has no \w+ endpoint: make deploy STACK=staging"
    ):
        server_variables({**OUTPUTS, "doors": doors}, "websocket", "staging")


def test_another_word_than_a_transports_name_is_refused_with_the_names() -> None:
    with pytest.raises(ConvergeError, match="TRANSPORT=grpc: there is no such transport; there are native, http, "):
        check_transport("grpc")
    assert [check_transport(name) for name in TRANSPORTS] == list(TRANSPORTS)
