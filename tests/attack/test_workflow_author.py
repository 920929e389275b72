"""Names, code and workspace ids that a workflow's author made up: each is refused in words, none passes for another."""

from typing import Any

import cbor2
import pytest
from roboflow_workflows.errors import DynamicBlockError
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.contract.request import build_request
from modal_app.contract.response import Response, decode_response
from modal_app.sandbox.runner import validate
from modal_app.server.policy import resolve_workspace
from modal_app.settings import Limits

LIMITS = Limits()
CODE = "def run(self):\n    return {'a': 1}\n"
WORKSPACES = [
    "a\0b",
    "../etc",
    "a/b",
    "a" * 129,
    "ws\n",
    " ws",
    "wś",
    "\ud800",
    "%2e%2e",
    "-ws",
    "ws\u202e",
    "ws*",
    "٣",
]
NAMES = ["run\0", "\x1b[2J", "\udc80", "run\n", "run" * 100_000, "__import__('os').abort()", "{0}"]
SOURCES = {
    "a null byte": CODE + "\0",
    "half a character": CODE + "# \ud800",
    "deep brackets": "x = " + "(" * 5000 + ")" * 5000,
    "a long number": "x = " + "9" * 100_000,
    "an end of the process": "raise SystemExit(0)",
    "an end of everything": "raise BaseException('\x1b')",
}


def validated(code: str = CODE, **fields: Any) -> Response:
    source = PythonCode(type="PythonCode", run_function_code=code, **fields)
    return decode_response(cbor2.dumps(validate(build_request(source, "block", LIMITS))), LIMITS)


@pytest.mark.parametrize("workspace", WORKSPACES, ids=ascii)
def test_a_workspace_id_that_could_pass_for_another_is_refused(workspace: str) -> None:
    with pytest.raises(DynamicBlockError, match="malformed") as caught:
        resolve_workspace(workspace)
    assert str(caught.value).isprintable() or workspace == "wś"
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_a_function_of_any_name_is_looked_for_and_named(name: str) -> None:
    failure = validated(run_function_name=name).failure
    assert failure is not None
    assert failure.missing_function == name.encode("utf-8", "replace").decode()[:200]
    assert len(failure.errors[0].message) <= LIMITS.message_chars


@pytest.mark.parametrize("source", SOURCES)
def test_code_of_any_kind_gets_an_answer_that_says_what_is_wrong(source: str) -> None:
    failure = validated(SOURCES[source]).failure
    assert failure is not None
    assert failure.stage == "load"


def test_imports_are_code_too_and_run_in_the_sandbox_alone() -> None:
    failure = validated(imports=["import os\nraise KeyError('canary')"]).failure
    assert failure is not None
    assert (failure.errors[-1].type, failure.errors[-1].message) == ("KeyError", "'canary'")
