"""A custom block behaves in its sandbox as it would in the server: what it sees, gives, prints and fails with."""

from typing import Any

import pytest

from tests.chain.conftest import StartServer
from tests.chain.server import Server
from tests.chain.test_values import PICTURE
from tests.chain.workflows import IMAGE, PARAMETER, block, single, workflow


def test_a_list_raises_the_dimension_of_the_result(server: Server) -> None:
    split = block(
        "Split",
        """
        def run(self, image):
            halves = np.hsplit(image.numpy_image, 2)
            return [{"half": WorkflowImageData.copy_and_replace(image, numpy_image=half)} for half in halves]
        """,
        ("image",),
        ("half",),
        manifest={"output_dimensionality_offset": 1},
    )
    width = block(
        "Width", "def run(self, half):\n    return {'width': half.numpy_image.shape[1]}\n", ("half",), ("width",)
    )
    flow = workflow(
        [split, width],
        [
            {"type": "Split", "name": "split", "image": "$inputs.image"},
            {"type": "Width", "name": "width", "half": "$steps.split.half"},
        ],
        {"width": "width.width"},
        {"image": IMAGE},
    )
    assert server.run(flow, image=[PICTURE]).result == {"width": [32, 32]}


def test_none_is_no_value(server: Server) -> None:
    code = "def run(self, number):\n    return {'value': None, 'other': number}\n"
    result = server.run(single(code, {"number": PARAMETER}, ("value", "other")), number=3).result
    assert result == {"value": None, "other": 3}


def test_what_the_init_function_returns_is_on_self(server: Server) -> None:
    code = "def run(self, factor):\n    return {'value': self._init_results['base'] * factor}\n"
    flow = single(code, {"factor": PARAMETER}, init_function_code="def init():\n    return {'base': 21}\n")
    assert server.run(flow, factor=2).result == {"value": 42}


def test_globals_are_empty_in_each_call(server: Server) -> None:
    code = """
    count = 0
    def run(self):
        global count
        count += 1
        globals["calls"] = globals.get("calls", 0) + 1
        return {"value": [count, globals["calls"]]}
    """
    flow = single(code)
    assert [server.run(flow).result["value"] for _ in range(3)] == [[1, 1]] * 3


def test_a_block_knows_where_it_stands(server: Server) -> None:
    context = server.run(single("def run(self):\n    return {'value': self.get_workflow_context()}\n")).result["value"]
    assert context["step_name"] == "step"
    assert context["step_selector"] == "$steps.step"
    assert context["block_type"] == "Block"
    assert set(context) == {"step_name", "step_selector", "block_type", "workflow_execution_id"}


def test_printed_output_is_shown_where_local_execution_shows_it(server: Server) -> None:
    code = """
    import sys
    def run(self, text):
        print("seen:", text)
        print("trouble", file=sys.stderr)
        debug_traces.append({"text": text})
        return {"value": None}
    """
    run = server.run(single(code, {"text": PARAMETER}), text="hello")
    assert run.failure is None
    assert "seen: hello\n" in run.printed
    assert "trouble\n" in run.printed
    assert run.streams == {"step": [{"stdout": "seen: hello\n", "stderr": "trouble\n"}]}
    assert [trace["value"] for trace in run.traces] == [{"text": "hello"}]


def test_an_exception_names_the_blocks_own_line_function_and_snippet(server: Server) -> None:
    code = """
    def helper(value):
        return value["missing"]

    def run(self, value):
        print("before")
        return {"value": helper(value)}
    """
    error = server.run(single(code, {"value": PARAMETER}), value={}).error
    assert error.kind == "DynamicBlockCodeError"
    assert error.line == 3
    assert error.message == "Error in line 3, in helper: KeyError: 'missing'"
    assert error.snippet is not None
    assert '>>> 3:     return value["missing"]' in error.snippet
    assert error.traceback is not None
    assert "line 7, in run" in error.traceback
    assert error.stdout == "before\n"


def test_an_exception_of_numpy_names_the_blocks_own_line(server: Server) -> None:
    code = "def run(self, value):\n    first = value\n    return {'value': np.linalg.inv(first)}\n"
    error = server.run(single(code, {"value": PARAMETER}), value=PICTURE[:, :, 0][:4, :8]).error
    assert error.line == 3
    assert error.message.startswith("Error in line 3, in run: LinAlgError: ")
    assert error.snippet is not None
    assert ">>> 3:     return {'value': np.linalg.inv(first)}" in error.snippet


def test_a_syntax_error_is_refused_when_the_workflow_is_compiled(server: Server) -> None:
    error = server.run(single("def run(self):\n    value = (1,\n    return {'value': value}\n")).error
    assert error.kind == "DynamicBlockCodeError"
    assert error.context == "dynamic_block_code_compilation"
    assert "SyntaxError" in error.message
    assert error.line == 2
    assert error.snippet is not None
    assert "value = (1," in error.snippet


def test_a_missing_import_is_refused_when_the_workflow_is_compiled(server: Server) -> None:
    error = server.run(single("import no_such_module\ndef run(self):\n    return {'value': 1}\n")).error
    assert error.context == "dynamic_block_code_compilation"
    assert "no_such_module" in error.message
    assert error.line == 1


@pytest.mark.parametrize("fields", [{"run_function_name": "work"}, {"init_function_code": "x = 1\n"}])
def test_a_missing_function_is_named(server: Server, fields: dict[str, Any]) -> None:
    error = server.run(single("def run(self):\n    return {'value': 1}\n", **fields)).error
    assert error.kind == "DynamicBlockError"
    name = fields.get("run_function_name", "init")
    assert f"Cannot find function: {name} in declared code for dynamic block" in error.message


def test_a_block_is_ended_at_twenty_seconds_and_it_reads_as_a_timeout(server: Server) -> None:
    code = """
    def run(self):
        while True:
            try:
                time.sleep(1)
            except BaseException:
                pass
    """
    run = server.run(single(code), limit=50)
    assert run.error.kind == "DynamicBlockCodeError"
    assert run.error.message == (
        "TimeoutError: the custom Python block `Block` was stopped: it exceeded the limit of 20 s."
    )
    assert run.seconds >= 20
    assert server.run(single("def run(self):\n    return {'value': 1}\n")).result == {"value": 1}


@pytest.mark.parametrize("workspace", [None, "", "anonymous", "unauthorized"])
def test_a_block_of_nobody_is_refused_by_default(server: Server, workspace: str | None) -> None:
    error = server.run(single("def run(self):\n    return {'value': 1}\n"), workspace).error
    assert error.kind == "DynamicBlockError"
    assert error.context == "modal_executor | anonymous_policy"
    assert "MODAL_ALLOW_ANONYMOUS_EXECUTION=True" in error.message


def test_a_block_of_nobody_runs_where_the_server_allows_it(start_server: StartServer) -> None:
    server = start_server(MODAL_ALLOW_ANONYMOUS_EXECUTION="True")
    assert server.run(single("def run(self):\n    return {'value': 1}\n"), None).result == {"value": 1}
