"""What can go wrong between a server and a sandbox: each ends in bounded time, in words that say what to do."""

import importlib.metadata
import socket
import threading
import time
from typing import Any

import cbor2
import pytest
from grpclib import GRPCError, Status
from modal_proto import api_pb2
from roboflow_workflows.errors import DynamicBlockCodeError, DynamicBlockError

from modal_app.contract.response import build_response
from modal_app.server import configuration, connection
from modal_app.settings import AppSettings, ServerSettings
from tests.unit.modal_app.server.control_plane import ControlPlane, forged, output
from tests.unit.modal_app.server.test_executor import run

SOURCE = "def run(self, x=None):\n    return {}"
Result = api_pb2.GenericResult


def message(**inputs: Any) -> str:
    with pytest.raises(DynamicBlockError) as caught:
        run(SOURCE, **inputs)
    return str(caught.value)


def test_modal_not_installed(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert "its client isn't installed here: run `pip install modal==1.6.4`" in message()
    assert plane.calls == []


@pytest.mark.usefixtures("plane")
def test_modal_in_a_version_that_the_gate_is_not_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.5.4")
    assert "is installed in version 1.5.4 here: run `pip install modal==1.6.4`" in message()


@pytest.mark.parametrize(
    "missing", [["MODAL_TOKEN_ID"], ["MODAL_TOKEN_SECRET"], ["MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"]]
)
def test_no_credentials(missing: list[str], plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in missing:
        monkeypatch.setattr(connection, name, None)
    assert message().endswith(f"set {' and '.join(missing)}.")
    assert plane.calls == []


def test_wrong_credentials(plane: ControlPlane) -> None:
    plane.credentials = ("ak-other", "as-other")
    assert "Modal refuses this server's credentials: Token not found. Check MODAL_TOKEN_ID" in message()


def test_the_app_is_not_deployed(plane: ControlPlane) -> None:
    plane.deployed = False
    assert "isn't deployed" in message()
    assert "run `make deploy`" in message()


def test_a_call_that_modal_took_and_no_longer_knows_is_lost(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgotten(_: Any) -> None:
        raise GRPCError(Status.NOT_FOUND, "Function call 'fc-1' not found.")

    monkeypatch.setattr(plane, "on_FunctionGetOutputs", forgotten)
    assert "was lost: Function call 'fc-1' not found. Try again" in message()


def test_an_app_deployed_anew_is_found_again(plane: ControlPlane) -> None:
    assert run(SOURCE) == {}
    plane.version += 1
    assert run(SOURCE) == {}
    plane.deployed = False
    assert "isn't deployed" in message()


def test_the_token_belongs_to_another_workspace(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODAL_WORKSPACE_NAME", "other")
    assert "belongs to the Modal workspace 'acme', but MODAL_WORKSPACE_NAME says 'other'" in message()
    assert "FunctionMap" not in plane.calls
    monkeypatch.setenv("MODAL_WORKSPACE_NAME", "acme")
    assert run(SOURCE) == {}


def test_an_answer_of_another_contract_version(plane: ControlPlane) -> None:
    answer = {**build_response(), "contract": 2, "news": True}
    plane.container = forged(output(data=cbor2.dumps(answer)))
    assert "speaks contract version 1, the deployed app 2: run `make deploy`" in message()


def test_a_deployed_app_that_refuses_this_servers_contract(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modal_app.contract.request.CONTRACT_VERSION", 0)

    def container(function_input: api_pb2.FunctionInput) -> api_pb2.FunctionGetOutputsItem:
        monkeypatch.setattr("modal_app.contract.request.CONTRACT_VERSION", 1)
        return original(function_input)

    original, plane.container = plane.container, container
    assert "the server speaks contract version 0, this deployment 1" in message()


def test_the_control_plane_is_down(monkeypatch: pytest.MonkeyPatch, plane: ControlPlane) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("MODAL_SERVER_URL", url)
    monkeypatch.setattr(configuration, "SERVER", ServerSettings(step_seconds=1))
    started = time.monotonic()
    assert message().startswith(f"Modal can't be reached: no connection to {url} in time. Check MODAL_SERVER_URL")
    assert time.monotonic() - started < ServerSettings().step_seconds
    assert plane.calls == []


def test_the_control_plane_does_not_answer(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "SERVER", ServerSettings(step_seconds=1))
    plane.silent = frozenset({"FunctionGet"})
    started = time.monotonic()
    assert message().startswith("Modal can't be reached: no answer to FunctionGet")
    assert time.monotonic() - started < ServerSettings().step_seconds


def test_a_call_that_is_never_answered_is_given_up(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "SERVER", ServerSettings(call_grace_seconds=1))
    monkeypatch.setattr(configuration, "APP", AppSettings(timeout_seconds=1, startup_timeout_seconds=1))
    plane.silent = frozenset({"FunctionGetOutputs"})
    assert message().startswith("Modal took the call of `Block`, but gave no answer to FunctionGetOutputs in time")


def test_a_timeout_reads_as_a_timeout_with_its_limit(plane: ControlPlane) -> None:
    plane.container = forged(output(Result.GENERIC_STATUS_TIMEOUT, exception="Input exceeded its limit"))
    with pytest.raises(DynamicBlockCodeError) as caught:
        run(SOURCE)
    assert caught.value.public_message == (
        "TimeoutError: the custom Python block `Block` was stopped: it exceeded the limit of 20 s."
    )


def test_out_of_memory(plane: ControlPlane) -> None:
    plane.container = forged(output(Result.GENERIC_STATUS_KERNEL_OOM_KILL, exception="killed"))
    with pytest.raises(DynamicBlockCodeError, match=r"MemoryError: .* ran out of memory"):
        run(SOURCE)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Result.GENERIC_STATUS_FAILURE, "died with exit status 139: segfault. Check what the block does"),
        (Result.GENERIC_STATUS_INIT_FAILURE, "can't start: segfault. See the app's logs"),
        (Result.GENERIC_STATUS_TERMINATED, "was cancelled: run the workflow again"),
        (
            Result.GENERIC_STATUS_INTERNAL_FAILURE,
            "was lost: segfault. Try again; if it is lost again, check what the block does",
        ),
    ],
)
def test_a_container_that_gives_no_answer(status: int, words: str, plane: ControlPlane) -> None:
    plane.container = forged(output(status, exception="segfault", exitcode=139))
    assert words in message()


def test_an_input_that_can_not_be_pickled_is_named(plane: ControlPlane) -> None:
    assert "The input 'x', of type lock, of `Block` can't be sent to its sandbox" in message(x=threading.Lock())
    assert "FunctionMap" not in plane.calls


def test_an_answer_that_is_no_answer_is_refused(plane: ControlPlane) -> None:
    plane.container = forged(output(data=cbor2.dumps({"contract": 1, "result": {}})))
    assert "was refused: result doesn't have exactly the fields contract, inference" in message()
