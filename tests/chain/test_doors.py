"""The released client at the deployed doors: values, failures, limits, whose sandbox it is, what a session keeps."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import requests
from roboflow_workflows.errors import DynamicBlockCodeError, DynamicBlockError
from roboflow_workflows.execution_engine.entities.base import ImageParentMetadata, WorkflowImageData
from roboflow_workflows.execution_engine.v1.dynamic_blocks import modal_executor
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from tests.chain.doors import Doors, doors_of
from tests.contract.conftest import LocalModal

DOORS = ("http", "websocket", "session")
STATE = "def run(self):\n    globals['n'] = globals.get('n', 0) + 1\n    return {'n': globals['n']}"
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings('ignore:Field name "schema":UserWarning'),  # the engine's own models
]
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def doors(plane: LocalModal) -> Doors:
    return doors_of(plane)


def client(door: str, doors: Doors, patch: pytest.MonkeyPatch) -> Any:
    """An executor of the released client, set up by its own variables."""
    patch.setenv("MODAL_WEB_ENDPOINT_URL", doors.addresses["http"])
    patch.setenv(
        "MODAL_WS_ENDPOINT_URL", doors.addresses["session" if door == "session" else "websocket"].split("?")[0]
    )
    patch.setattr(modal_executor, "MODAL_AVAILABLE", True)
    patch.setattr(modal_executor, "MODAL_TOKEN_ID", doors.token_id)
    patch.setattr(modal_executor, "MODAL_TOKEN_SECRET", doors.token_secret)
    http = door == "http"
    return (modal_executor.ModalExecutor if http else modal_executor.PooledWebSocketModalExecutor)("acme")


@pytest.fixture
def run(door: str, doors: Doors, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    executor = client(door, doors, monkeypatch)

    def run(source: str, workspace: str = "acme", **inputs: Any) -> Any:
        code = PythonCode(type="PythonCode", run_function_code=source)
        return executor.execute_remote("my_block", code, inputs, workspace, {"step_name": "step"})

    yield run
    getattr(executor, "close", lambda: None)()


@pytest.mark.parametrize("door", DOORS)
def test_an_image_and_numbers_go_there_and_back(run: Run) -> None:
    pixels = np.full((480, 640, 3), 99, np.uint8)
    image = WorkflowImageData(ImageParentMetadata(parent_id="camera"), numpy_image=pixels)
    back = run("def run(self, image, n):\n    return {'image': image, 'n': n + np.int64(1)}", image=image, n=1)
    assert back["n"] == 2
    assert back["image"].numpy_image.shape == pixels.shape


@pytest.mark.parametrize(("door", "seen"), [("http", [1, 1, 1]), ("websocket", [1, 1, 1]), ("session", [1, 2, 3])])
def test_state_is_kept_in_a_session_only(run: Run, seen: list[int]) -> None:
    assert [run(STATE)["n"] for _ in range(3)] == seen


@pytest.mark.parametrize("door", ["session"])
def test_a_session_is_gone_with_its_connection(run: Run, door: str, doors: Doors) -> None:
    run(STATE)
    with pytest.MonkeyPatch.context() as patch:
        other = client(door, doors, patch)
        code = PythonCode(type="PythonCode", run_function_code=STATE)
        assert other.execute_remote("my_block", code, {}, "acme")["n"] == 1
        other.close()


@pytest.mark.parametrize("door", DOORS)
def test_a_failure_names_its_line(run: Run) -> None:
    with pytest.raises(DynamicBlockCodeError, match="Error in line 2, in run: ZeroDivisionError"):
        run("def run(self):\n    return {'x': 1 / 0}")


@pytest.mark.parametrize("door", ["http"])  # whose client gives up soonest
def test_a_block_that_takes_too_long_is_answered_for(run: Run) -> None:
    with pytest.raises((DynamicBlockCodeError, DynamicBlockError), match=r"TimeoutError.*the block exceeded"):
        run("def run(self):\n    time.sleep(60)")


@pytest.mark.parametrize("door", ["http", "websocket"])
def test_a_sandbox_that_dies_is_no_failure_of_the_code(run: Run) -> None:
    with pytest.raises(DynamicBlockError, match="SandboxDied"):
        run("def run(self):\n    os._exit(3)")
    assert run("def run(self):\n    return {'x': 1}") == {"x": 1}


@pytest.mark.parametrize("door", ["http", "session"])
def test_a_block_is_in_its_workspaces_container_and_cannot_reach_modal(run: Run) -> None:
    source = (
        "def run(self):\n    import modal\n"
        "    try:\n        modal.Cls.from_name('inference-custom-blocks', 'Executor')(workspace_id='rival')"
        ".execute_wire.remote({})\n"
        "    except BaseException as error:\n        return {'said': type(error).__name__}\n"
        "    return {'said': 'called'}"
    )
    assert run(source)["said"] != "called"


def test_without_a_token_there_is_no_door(doors: Doors) -> None:
    for address in doors.addresses.values():
        assert requests.post(address, json={}, timeout=30).status_code == 401
