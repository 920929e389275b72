"""Whatever keeps a block from running ends in the engine's exception, with what to do, and never in running it here."""

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from modal_app.settings import CONTRACT_VERSION, MODAL_VERSION
from tests.chain.conftest import StartServer, deploy, mutated
from tests.chain.server import Failure, Server
from tests.chain.workflows import single
from tests.contract.conftest import LocalModal

STEP_SECONDS = "3"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that exists if the block ran on this machine rather than in a sandbox."""
    return tmp_path / "canary"


def fail(server: Server, canary: Path, **settings: str) -> Failure:
    """The failure of a server that can't run the block; the code would leave the canary wherever it ran."""
    leave = f"open({str(canary)!r}, 'w').close()\n"
    run = server.run(single(f"{leave}def run(self):\n    {leave}    return {{'value': 1}}\n"), settings=settings)
    assert run.error.kind == "DynamicBlockError"
    assert not canary.exists()
    return run.error


@pytest.fixture(scope="module")
def patient(plane: LocalModal) -> Iterator[Server]:
    """A server whose connection is changed between tests; it gives each step of a call a few seconds."""
    with Server({**plane.client_env(), "CUSTOM_BLOCKS_STEP_SECONDS": STEP_SECONDS}) as server:
        yield server


def test_an_app_that_is_not_deployed(plane: LocalModal, patient: Server, canary: Path) -> None:
    plane_env = plane.client_env()
    error = fail(patient, canary, MODAL_ENVIRONMENT="nowhere", MODAL_SERVER_URL=plane_env["MODAL_SERVER_URL"])
    assert error.context == "modal_executor | not_deployed"
    assert "make deploy" in error.message
    assert "MODAL_ENVIRONMENT" in error.message


def test_a_control_plane_that_is_down(patient: Server, canary: Path) -> None:
    error = fail(patient, canary, MODAL_SERVER_URL="http://127.0.0.1:9")
    assert error.context == "modal_executor | unreachable"
    assert "http://127.0.0.1:9" in error.message
    assert "MODAL_SERVER_URL" in error.message


def test_an_app_of_another_contract_version(plane: LocalModal, patient: Server, canary: Path, tmp_path: Path) -> None:
    change = (f"CONTRACT_VERSION = {CONTRACT_VERSION}\n", f"CONTRACT_VERSION = {CONTRACT_VERSION + 1}\n")
    deploy(plane, "other-contract", mutated(tmp_path, ("settings.py", *change)))
    url = plane.client_env()["MODAL_SERVER_URL"]
    error = fail(patient, canary, MODAL_ENVIRONMENT="other-contract", MODAL_SERVER_URL=url)
    assert error.context == "modal_executor | contract_version"
    assert f"contract version {CONTRACT_VERSION}, the deployed app {CONTRACT_VERSION + 1}" in error.message
    assert "make deploy" in error.message


def test_wrong_credentials(start_server: StartServer, canary: Path) -> None:
    error = fail(start_server(MODAL_TOKEN_SECRET="as-wrong"), canary)
    assert error.context == "modal_executor | credentials_check"
    assert "MODAL_TOKEN_SECRET" in error.message


def test_no_credentials(start_server: StartServer, canary: Path) -> None:
    error = fail(start_server(MODAL_TOKEN_ID="", MODAL_TOKEN_SECRET=""), canary)
    assert error.context == "modal_executor | credentials_check"
    assert "set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET" in error.message


def test_a_server_without_modal(start_server: StartServer, canary: Path, tmp_path: Path) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith("modal"):
            (packages / entry.name).symlink_to(entry)
    server = start_server((sys.executable, "-S"), PYTHONPATH=str(packages))
    error = fail(server, canary)
    assert error.context == "modal_executor | modal_installation"
    assert f"pip install modal=={MODAL_VERSION}" in error.message


def test_a_token_of_another_workspace(patient: Server, plane: LocalModal, canary: Path) -> None:
    settings = {**plane.client_env(), "MODAL_WORKSPACE_NAME": "someone-else"}
    error = fail(patient, canary, **settings)
    assert error.context == "modal_executor | workspace_check"
    assert "someone-else" in error.message
