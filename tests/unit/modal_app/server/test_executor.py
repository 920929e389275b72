"""A block's run as the engine sees it: the answer of local execution, from the other side of a real Modal client."""

import multiprocessing
import threading
from typing import Any

import numpy as np
import pytest
from roboflow_workflows.errors import DynamicBlockCodeError
from roboflow_workflows.execution_engine.v1.dynamic_blocks.block_duration import consume_block_duration
from roboflow_workflows.execution_engine.v1.dynamic_blocks.debug_logs import register_debug_session
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.server import configuration
from modal_app.server.executor import SandboxExecutor, get_modal_executor
from tests.unit.modal_app.server.control_plane import ControlPlane


def code(run: str, **fields: Any) -> PythonCode:
    return PythonCode(type="PythonCode", run_function_code=run, **fields)


def run(source: str, workspace: str = "ws-1", **inputs: Any) -> Any:
    return get_modal_executor(workspace).execute_remote("Block", code(source), inputs, workspace)


@pytest.mark.usefixtures("plane")
def test_a_result_comes_back_as_what_the_block_returned() -> None:
    result = run("def run(self, x):\n    return {'twice': x * 2}", x=np.arange(3, dtype=np.int16))
    np.testing.assert_array_equal(result["twice"], np.array([0, 2, 4], dtype=np.int16))
    assert result["twice"].dtype == np.int16
    assert result["twice"].flags.writeable


def test_the_workspace_is_the_only_parameter_of_the_class(plane: ControlPlane) -> None:
    run("def run(self): return {}", workspace="ws-7")
    run("def run(self): return {'other': 'code'}", workspace="ws-7")
    assert plane.bound == [{"workspace_id": "ws-7"}]
    assert plane.calls.count("FunctionMap") == 2


@pytest.mark.usefixtures("plane")
def test_an_error_names_the_users_own_line_although_numpy_raised_it(capsys: pytest.CaptureFixture[str]) -> None:
    source = "def run(self, x):\n    print('before')\n    y = x\n    return {'y': y.reshape(5)}\n"
    with pytest.raises(DynamicBlockCodeError) as caught:
        run(source, x=np.zeros(4))
    error = caught.value
    assert error.error_line == 4
    assert error.public_message.startswith("Error in line 4, in run: ValueError: cannot reshape array")
    assert error.code_snippet is not None
    assert ">>> 4:     return {'y': y.reshape(5)}" in error.code_snippet
    assert error.traceback_str is not None
    assert error.traceback_str.splitlines()[1:3] == [
        '  File "Python Block", line 4, in run',
        "    return {'y': y.reshape(5)}",
    ]
    assert error.stdout == "before\n"
    assert error.block_type_name == "Block"
    assert "before\n" in capsys.readouterr().out


@pytest.mark.usefixtures("plane")
def test_what_a_debug_run_collects_is_what_it_would_collect_here() -> None:
    source = "def run(self):\n    print('seen')\n    debug_traces.append({'step': 1})\n    return {}"
    with register_debug_session() as session:
        SandboxExecutor("ws").execute_remote("Block", code(source), {}, "ws", {"step_name": "my_step"})
    assert session.output_streams.snapshot() == {"my_step": [{"stdout": "seen\n", "stderr": None}]}
    assert session.debug_traces.snapshot() == [{"step": "my_step", "value": {"step": 1}}]


@pytest.mark.usefixtures("plane")
def test_the_time_to_account_for_is_the_sandboxs_within_its_limit() -> None:
    run("def run(self):\n    return {}")
    measured = consume_block_duration()
    assert measured is not None
    assert measured.source == "remote_runtime"
    assert 0 <= measured.duration <= configuration.APP.timeout_seconds


@pytest.mark.usefixtures("plane")
def test_threads_share_the_connection() -> None:
    results: list[Any] = []

    def work(number: int) -> None:
        results.append(run("def run(self, n): return {'n': n}", workspace=f"ws-{number % 3}", n=number)["n"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(12))


@pytest.mark.usefixtures("plane")
def test_a_forked_process_opens_a_connection_of_its_own() -> None:
    assert run("def run(self): return {'n': 1}") == {"n": 1}
    process = multiprocessing.get_context("fork").Process(target=run, args=("def run(self): return {'n': 2}",))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert run("def run(self): return {'n': 3}") == {"n": 3}


@pytest.mark.usefixtures("plane")
async def test_it_can_be_called_from_a_running_event_loop() -> None:
    assert run("def run(self): return {'fine': True}") == {"fine": True}
