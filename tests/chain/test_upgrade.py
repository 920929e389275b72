"""Two versions of the app side by side, each in an environment: servers go from one to the other while both serve."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chain.conftest import SAYS_ANOTHER, StartServer, deploy, mutated
from tests.chain.server import Run, Server
from tests.chain.workflows import single
from tests.contract.conftest import LocalModal

NAP = "import time\n\ndef run(self):\n    time.sleep(3)\n    return {'value': 'rested'}\n"
QUICK = "def run(self):\n    return {'value': 'done'}\n"
STRICT = {"CUSTOM_BLOCKS_STRICT_VERSION": "true"}


@pytest.fixture(scope="module")
def candidate(plane: LocalModal, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment with another inference and a time limit of its own, beside the default one."""
    source = mutated(tmp_path_factory.mktemp("candidate"), SAYS_ANOTHER)
    deploy(plane, "candidate", source, {"CUSTOM_BLOCKS_TIMEOUT_SECONDS": "2"})
    return "candidate"


@pytest.fixture(scope="module")
def moving(plane: LocalModal) -> Iterator[Server]:
    """A server whose environment is changed by its variable alone."""
    with Server(plane.client_env()) as server:
        yield server


def test_a_server_goes_to_the_candidate_and_back_while_another_stays(
    plane: LocalModal, server: Server, moving: Server, candidate: str
) -> None:
    current = plane.client_env()["MODAL_ENVIRONMENT"]

    def nap(environment: str) -> Run:
        return moving.run(single(NAP), settings={"MODAL_ENVIRONMENT": environment})

    assert nap(current).result["value"] == "rested"
    with ThreadPoolExecutor(1) as stays:
        other = stays.submit(server.run, single(NAP))
        assert "it exceeded the limit" in nap(candidate).error.message
        assert other.result().result["value"] == "rested"
    assert nap(current).result["value"] == "rested"


def test_another_inference_is_a_warning_once_and_no_outage(start_server: StartServer, candidate: str) -> None:
    server = start_server(MODAL_ENVIRONMENT=candidate)
    runs = [server.run(single(QUICK)) for _ in range(2)]
    assert [run.result["value"] for run in runs] == ["done", "done"]
    assert server.close().count("blocks may behave differently") == 1


def test_another_inference_is_an_error_where_the_stack_says_so(start_server: StartServer, candidate: str) -> None:
    error = start_server(MODAL_ENVIRONMENT=candidate, **STRICT).run(single(QUICK)).error
    assert error.context == "modal_executor | inference_version"
    assert "deploy the app from the server's version" in error.message
