"""A block behaves in the sandbox as it does in the engine's own local execution, which each test runs beside it."""

import random
import sys
from typing import Any

import cbor2
import numpy as np
import orjson
import pytest
import torch
from modal.exception import InputCancellation
from roboflow_workflows.core_steps.common.serializers import serialize_wildcard_kind
from roboflow_workflows.errors import DynamicBlockCodeError
from roboflow_workflows.execution_engine.entities.base import Batch
from roboflow_workflows.execution_engine.v1.dynamic_blocks import block_scaffolding
from roboflow_workflows.execution_engine.v1.dynamic_blocks.block_scaffolding import assembly_custom_python_block
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode
from roboflow_workflows.prototypes.block import WorkflowBlockManifest

from modal_app.contract.request import build_request
from modal_app.contract.response import Failure, Frame, Response, decode_response
from modal_app.sandbox.runner import execute, validate
from modal_app.server.code_errors import code_error
from modal_app.settings import Limits
from tests.unit.modal_app.contract.test_kinds import detections, image, same, video

DEFAULT = Limits()
CONTEXT = {"step_name": "s", "step_selector": "$steps.s", "block_type": "Block", "workflow_execution_id": "w"}


@pytest.fixture(autouse=True)
def _empty_globals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container starts with none; the engine keeps them in a module."""
    monkeypatch.setattr(block_scaffolding, "_LOCAL_SHARED_GLOBALS", {})


def code(run: str, **fields: Any) -> PythonCode:
    return PythonCode(type="PythonCode", run_function_code=run, **fields)


def answer(source: PythonCode, limits: Limits = DEFAULT, debug: bool = False, **inputs: Any) -> Response:
    request = build_request(source, "Block", limits, inputs, CONTEXT, debug=debug)
    return decode_response(cbor2.dumps(execute(request)), limits)


def in_sandbox(source: PythonCode, **inputs: Any) -> Any:
    response = answer(source, **inputs)
    if response.failure is not None:
        raise code_error(response, response.failure, source, "Block")
    return response.result


def locally(source: PythonCode, **inputs: Any) -> Any:
    block = assembly_custom_python_block("Block", "local", WorkflowBlockManifest, source)()
    block._workflow_step_name, block._workflow_step_selector, block._workflow_step_type = "s", "$steps.s", "Block"
    token = block_scaffolding._execution_id_ctxvar.set("w")
    try:
        return block.run(**inputs)
    finally:
        block_scaffolding._execution_id_ctxvar.reset(token)


def failure_of(source: PythonCode, **inputs: Any) -> Failure:
    failure = answer(source, **inputs).failure
    assert failure is not None
    return failure


SAME: dict[str, tuple[PythonCode, dict[str, Any]]] = {
    "the prelude is there": (
        code(
            "def run(self):\n"
            "    names = [Any, List, Dict, Set, Optional, sv, np, math, time, json, os, requests, cv2, shapely]\n"
            "    return {'names': [str(name)[:20] for name in names], 'engine': [str(Batch), str(BlockResult)]}"
        ),
        {},
    ),
    "imports of the block": (
        code(
            "def run(self):\n    return {'r': json.dumps(Counter('aab'))}", imports=["from collections import Counter"]
        ),
        {},
    ),
    "the context of the workflow": (code("def run(self):\n    return self.get_workflow_context()"), {}),
    "results of the init function": (
        code("def run(self):\n    return self._init_results", init_function_code="def init():\n    return {'n': [1]}"),
        {},
    ),
    "names of the functions": (
        code(
            "def start(self): return {'it': self._init_results}",
            run_function_name="start",
            init_function_code="def prepare(): return {'a': 1}",
            init_function_name="prepare",
        ),
        {},
    ),
    "no init function": (code("def run(self):\n    return {'r': self._init_results}"), {}),
    "attributes of self": (code("def run(self):\n    self.x = 1\n    return {'x': self.x}"), {}),
    "globals start empty": (
        code("def run(self):\n    globals['n'] = globals.get('n', 0) + 1\n    return dict(globals)"),
        {},
    ),
    "the name of the module": (code("def run(self):\n    return {'name': __builtins__ is not None}"), {}),
    "helpers and module state": (
        code("LIMIT = 3\n\ndef helper(x):\n    return min(x, LIMIT)\n\ndef run(self, x):\n    return {'r': helper(x)}"),
        {"x": 5},
    ),
    "a call without self": (
        code("def run(*args, **kwargs):\n    return {'n': len(args), 'k': kwargs}"),
        {"a": 1, "b": None},
    ),
    "defaults": (code("def run(self, a, b=2):\n    return {'r': a + b}"), {"a": 1}),
    "None": (code("def run(self):\n    return None"), {}),
    "a list": (code("def run(self, n):\n    return [{'i': i} for i in range(n)]"), {"n": 3}),
    "a list of lists": (code("def run(self):\n    return [[{'i': 1}, None], []]"), {}),
    "a batch": (
        code(
            "def run(self, x):\n    return [{'twice': 2 * item, 'at': index} for index, item in x.iter_with_indices()]"
        ),
        {"x": Batch.init(content=[1, 2], indices=[(0,), (1,)])},
    ),
    "an image": (
        code("def run(self, i):\n    return {'gray': cv2.cvtColor(i.numpy_image, cv2.COLOR_BGR2GRAY), 'same': i}"),
        {"i": image(video_metadata=video())},
    ),
    "detections": (code("def run(self, d):\n    return {'one': d[d.confidence > 0.3], 'all': d}"), {"d": detections()}),
    "debug traces that nobody collects": (code("def run(self):\n    debug_traces.append({'a': 1})\n    return {}"), {}),
    "a caught exception": (
        code("def run(self):\n    try:\n        1 / 0\n    except Exception as e:\n        return {'e': str(e)}"),
        {},
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_result(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, inputs = SAME[name]
    expected = locally(source, **inputs)
    monkeypatch.setattr(block_scaffolding, "_LOCAL_SHARED_GLOBALS", {})
    assert same(in_sandbox(source, **inputs), expected)


@pytest.mark.parametrize("name", ["an image", "detections", "a batch", "imports of the block"])
def test_the_json_safe_view_by_inferences_serialiser_is_the_same(name: str) -> None:
    source, inputs = SAME[name]
    view, expected = (serialize_wildcard_kind(run(source, **inputs)) for run in (in_sandbox, locally))
    assert orjson.dumps(view, option=orjson.OPT_SERIALIZE_NUMPY) == orjson.dumps(
        expected, option=orjson.OPT_SERIALIZE_NUMPY
    )


def test_containers_of_one_snapshot_have_random_numbers_of_their_own() -> None:
    source = code(
        "def run(self):\n    return {'n': [random.random(), float(np.random.rand()), float(torch.rand(1))]}",
        imports=["import random", "import torch"],
    )
    results = []
    for _ in range(2):
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        results.append(in_sandbox(source)["n"])
    assert all(first != second for first, second in zip(*results, strict=True))


RAISES: dict[str, PythonCode] = {
    "in the run function": code("def run(self):\n    x = 1\n    return {'r': x / 0}"),
    "in a helper": code("def helper(x):\n    return x['missing']\n\ndef run(self):\n    return {'r': helper({})}"),
    "at a deep line": code("\n" * 30 + "def run(self):\n" + "    x = 1\n" * 20 + "    raise ValueError('deep')"),
    "with imports": code("def run(self):\n    raise Mine('x')", imports=["class Mine(Exception): pass", "import os"]),
    "in a comprehension": code("def run(self):\n    return {'r': [1 / x for x in (1, 0)]}"),
    "with an exception of its own": code("class E(Exception):\n    pass\n\ndef run(self):\n    raise E('mine', 2)"),
    "with text of many lines": code("def run(self):\n    raise ValueError('a\\nb\\n' * 3)"),
    "by an assertion": code("def run(self):\n    assert False, 'never'"),
    "by a missing name": code("def run(self):\n    return {'r': missing}"),
    "with a line beside the end of the run function": code(
        "def run(self):\n    return {'r': later()}",
        init_function_code="def init():\n    return {}\n\ndef later():\n    return 1 / 0",
    ),
}


@pytest.mark.parametrize("name", RAISES)
def test_the_same_error(name: str) -> None:
    with pytest.raises(DynamicBlockCodeError) as local:
        locally(RAISES[name])
    with pytest.raises(DynamicBlockCodeError) as remote:
        in_sandbox(RAISES[name])
    fields = ["public_message", "context", "block_type_name", "error_line", "stdout", "stderr"]
    if name != "with a line beside the end of the run function":  # there, local execution has no source line to show
        fields += ["code_snippet", "traceback_str"]
    assert {field: getattr(remote.value, field) for field in fields} == {
        field: getattr(local.value, field) for field in fields
    }


def test_where_numpy_raises_the_users_line_counts() -> None:
    """Local execution names a line of NumPy's here, minus the lines of the prelude."""
    source = code("def run(self):\n    a = np.zeros((2, 2))\n    return {'r': np.concatenate([a, np.stack([])])}")
    with pytest.raises(DynamicBlockCodeError) as remote:
        in_sandbox(source)
    assert remote.value.error_line == 3
    assert "in line 3, in run: ValueError: need at least one array to stack" in remote.value.public_message


def test_a_chain_of_exceptions_is_shown_as_python_shows_it() -> None:
    source = code(
        "def run(self):\n    try:\n        1 / 0\n"
        "    except ZeroDivisionError as e:\n        raise ValueError('no') from e"
    )
    with pytest.raises(DynamicBlockCodeError) as remote:
        in_sandbox(source)
    assert remote.value.traceback_str == (
        "Traceback (most recent call last):\n"
        '  File "Python Block", line 3, in run\n'
        "    1 / 0\n"
        "ZeroDivisionError: division by zero\n"
        "\n"
        "The above exception was the direct cause of the following exception:\n"
        "\n"
        "Traceback (most recent call last):\n"
        '  File "Python Block", line 5, in run\n'
        "    raise ValueError('no') from e\n"
        "ValueError: no"
    )


@pytest.mark.parametrize(
    ("statement", "kind", "text"),
    [
        ("raise SystemExit(3)", "SystemExit", "3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("raise GeneratorExit('g')", "GeneratorExit", "g"),
        ("raise type('B', (BaseException,), {})('b')", "B", "b"),
        ("import sys; sys.exit('bye')", "SystemExit", "bye"),
        ("raise MemoryError('big')", "MemoryError", "big"),
    ],
)
def test_what_would_end_a_process_ends_the_block(statement: str, kind: str, text: str) -> None:
    error = failure_of(code(f"def run(self):\n    print('before')\n    {statement}")).errors[-1]
    assert (error.type, error.message, error.frames[-1]) == (kind, text, Frame(3, "run"))


def test_output_before_such_an_end_is_kept() -> None:
    assert answer(code("def run(self):\n    print('before')\n    raise SystemExit")).output.stdout == "before\n"


def test_a_cancellation_is_modals_and_goes_through() -> None:
    source = code("def run(self):\n    from modal.exception import InputCancellation\n    raise InputCancellation")
    with pytest.raises(InputCancellation):
        execute(build_request(source, "Block", Limits()))


HOSTILE = {
    "raises": "    def __str__(self):\n        raise RuntimeError('gotcha')",
    "exits": "    def __str__(self):\n        raise SystemExit",
    "is no text": "    def __str__(self):\n        return 1",
    "is huge": "    def __str__(self):\n        return 'x' * 10**6",
    "can't be encoded": "    def __str__(self):\n        return '\\ud800'",
    "lies about its class": "    __class__ = int",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_exception_is_still_described(name: str) -> None:
    source = code(f"class Evil(Exception):\n{HOSTILE[name]}\n\ndef run(self):\n    raise Evil")
    error = failure_of(source).errors[-1]
    assert error.type == "Evil"
    assert error.frames[-1].function == "run"
    assert len(error.message) <= Limits().message_chars


def test_endless_recursion_gives_the_last_frames() -> None:
    error = failure_of(
        code("def run(self):\n    return self.run() if False else deeper()\n\ndef deeper():\n    return deeper()")
    ).errors[-1]
    assert error.type == "RecursionError"
    assert error.frames[-1] == Frame(5, "deeper")
    assert len(error.frames) == Limits().traceback_frames


def test_a_failing_init_function_names_its_line() -> None:
    failure = failure_of(code("def run(self):\n    return {}", init_function_code="def init():\n    return 1 / 0"))
    assert failure.stage == "init"
    assert failure.errors[-1].frames[-1] == Frame(5, "init")


def test_wrong_inputs_are_told_without_a_line() -> None:
    error = failure_of(code("def run(self, a): return {}"), b=1).errors[-1]
    assert (error.type, error.frames) == ("TypeError", ())


def test_a_result_that_is_no_data_names_key_and_type() -> None:
    source = code("def run(self):\n    return {'model': {'weights': [threading.Lock()]}}", imports=["import threading"])
    with pytest.raises(DynamicBlockCodeError, match=r"result\['model'\]\['weights'\]\[0\] is of type _thread.lock"):
        in_sandbox(source)


def test_output_is_what_local_execution_shows(capsys: pytest.CaptureFixture[str]) -> None:
    source = code(
        "import sys\nprint('top')\n\n"
        "def run(self):\n    print('out')\n    print('err', file=sys.stderr)\n    return {}",
        init_function_code="def init():\n    print('init')\n    return {}",
    )
    locally(source)
    local = capsys.readouterr()
    response = answer(source)
    assert (response.printed.stdout, response.printed.stderr) == (local.out, local.err)
    assert (response.output.stdout, response.output.stderr) == ("out\n", "err\n")


def test_output_is_bounded_and_says_so() -> None:
    response = answer(
        code("def run(self):\n    for _ in range(1000):\n        print('x' * 100)\n    return {}"),
        Limits(output_chars=500),
    )
    for stdout in (response.output.stdout, response.printed.stdout):
        assert len(stdout) < 600
        assert stdout.endswith("... [output truncated]")


def test_a_call_leaves_the_streams_as_they_were() -> None:
    before = sys.stdout, sys.stderr
    answer(code("def run(self):\n    raise SystemExit"))
    assert (sys.stdout, sys.stderr) == before


def test_threads_that_a_block_starts_print_to_the_process_only() -> None:
    source = code(
        "def run(self):\n    t = threading.Thread(target=print, args=('thread',))\n"
        "    t.start()\n    t.join()\n    return {}",
        imports=["import threading"],
    )
    response = answer(source)
    assert (response.output.stdout, response.printed.stdout) == ("", "thread\n")


def test_traces_are_collected_when_asked_for() -> None:
    source = code("def run(self):\n    debug_traces.append({'a': [1]})\n    debug_traces.append(2**70)\n    return {}")
    assert answer(source).traces == ()
    assert answer(source, debug=True).traces == ({"step": "s", "value": {"a": [1]}}, {"step": "s", "value": 2**70})


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({}, "no contract version"),
        (None, "no contract version"),
        ({"contract": 0}, "the server speaks contract version 0"),
        ({"contract": 1}, "malformed"),
        ({"contract": 1, "limits": {}, "code": {}}, "malformed"),
    ],
)
def test_a_request_of_another_kind_is_answered(request_: Any, problem: str) -> None:
    for method in (execute, validate):
        failure = decode_response(cbor2.dumps(method(request_)), Limits()).failure
        assert failure is not None
        assert failure.stage == "request"
        assert problem in failure.errors[-1].message


def test_the_whole_answer_is_plain_data() -> None:
    request = build_request(
        code("def run(self, x):\n    return {'x': x, 'n': np.int8(1)}"), "B", Limits(), {"x": np.eye(2)}
    )

    def plain(value: Any) -> bool:
        if type(value) is dict:
            return all(type(key) is str and plain(item) for key, item in value.items())
        if type(value) is list:
            return all(map(plain, value))
        return value is None or type(value) in (bool, int, float, str, bytes)

    assert plain(execute(request))
