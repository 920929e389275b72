"""The doors when something is cut off: a block that nobody waits for any more, and connections over a restart."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit

import modal
import pytest
from roboflow_workflows.errors import DynamicBlockError
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.settings import APP_NAME, EXECUTOR_CLASS
from tests.chain.conftest import deploy
from tests.chain.doors import Doors, doors_of
from tests.chain.test_doors import client
from tests.contract.conftest import LocalModal, connected, free_port

ANSWER_SECONDS, TIMEOUT_SECONDS = "8", "600"
"""The doors' limit, and that of the sandbox behind them: far beyond what the tests wait for."""
WAIT_SECONDS = 60
WORKSPACE = "acme"
ENDLESS = (
    "def run(self):\n    while True:\n        try:\n            time.sleep(60)\n"
    "        except BaseException:\n            pass\n"
)
"""It does not heed being cancelled either."""
QUICK = PythonCode(type="PythonCode", run_function_code="def run(self):\n    return {'x': 1}")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
Containers = Callable[[], int]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalModal]:
    """A control plane that tests may stop, with the app's limits far apart."""
    own = LocalModal(tmp_path_factory.mktemp("own"), {"LOCAL_MODAL_PORT": str(free_port())})
    own.start()
    try:
        deploy(
            own,
            settings={
                "CUSTOM_BLOCKS_ANSWER_SECONDS": ANSWER_SECONDS,
                "CUSTOM_BLOCKS_TIMEOUT_SECONDS": TIMEOUT_SECONDS,
            },
        )
        yield own
    finally:
        own.run("stop", check=False)


@pytest.fixture(scope="module")
def doors(own: LocalModal) -> Doors:
    return doors_of(own)


@pytest.fixture
def containers(own: LocalModal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Containers]:
    """How many containers the workspace has that run a block, or did and aren't gone."""
    variables = own.client_env()
    monkeypatch.setenv("MODAL_SERVER_URL", variables["MODAL_SERVER_URL"])
    with connected(variables["MODAL_TOKEN_ID"], variables["MODAL_TOKEN_SECRET"]) as connection:
        cls = modal.Cls.from_name(APP_NAME, EXECUTOR_CLASS, environment_name="main", client=connection)
        executor = cls(workspace_id=WORKSPACE)
        yield lambda: executor.execute_wire.get_current_stats().num_total_runners


def wait_until(containers: Containers, count: int) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while (found := containers()) != count:
        assert time.monotonic() < end, f"there are {found} containers, not {count}"


@pytest.mark.parametrize("leaves", [False, True], ids=["the deadline passes", "the client leaves"])
def test_a_block_that_nobody_waits_for_is_ended(doors: Doors, containers: Containers, leaves: bool) -> None:
    url = urlsplit(doors.addresses["http"])
    body = json.dumps({"code_str": ENDLESS, "run_function_name": "run", "inputs_json": "{}"})
    with closing(http.client.HTTPConnection(url.netloc, timeout=WAIT_SECONDS)) as connection:
        connection.request("POST", f"{url.path}?workspace_id={WORKSPACE}", body, doors.headers)
        wait_until(containers, 1)
        if not leaves:
            answer = json.load(connection.getresponse())
            assert (answer["error_type"], answer["error"]) == ("TimeoutError", "the block gave no answer in time")
    wait_until(containers, 0)


def test_an_open_connection_is_replaced_after_a_restart(
    own: LocalModal, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client can't know whether the first block has run: it says so; or that a heartbeat found out before."""
    executor = client("websocket", doors, monkeypatch)
    with closing(executor):
        assert executor.execute_remote("my_block", QUICK, {}, WORKSPACE) == {"x": 1}
        cut_off = executor._executors[0]._ws
        own.run("stop")
        own.start()
        with pytest.raises(DynamicBlockError, match=r"may have already executed|session lost"):
            executor.execute_remote("my_block", QUICK, {}, WORKSPACE)
        assert executor.execute_remote("my_block", QUICK, {}, WORKSPACE) == {"x": 1}
        assert executor._executors[0]._ws is not cut_off
        cut_off.shutdown()  # the client leaves the socket of a connection that the other side has closed
