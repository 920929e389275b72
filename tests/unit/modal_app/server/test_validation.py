"""Code is validated in a sandbox, once."""

import pytest
from roboflow_workflows.errors import DynamicBlockCodeError, DynamicBlockError
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.server import validation
from modal_app.server.validation import ValidatedCode, hash_code, validate_code_in_modal
from tests.unit.modal_app.server.control_plane import ControlPlane


@pytest.fixture(autouse=True)
def _nothing_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "validated", ValidatedCode(2))


def code(run: str = "def run(self):\n    return {}", **fields: object) -> PythonCode:
    return PythonCode(type="PythonCode", run_function_code=run, **fields)


def test_valid_code_is_sent_once(plane: ControlPlane) -> None:
    assert validate_code_in_modal(code(), "ws-1") is True
    assert validate_code_in_modal(code(), "ws-2") is True
    assert [item.method_name for item in plane.inputs] == ["validate"]


def test_the_cache_forgets_the_oldest(plane: ControlPlane) -> None:
    for number in (1, 2, 3, 1):
        validate_code_in_modal(code(f"def run(self):\n    return {number}"), "ws-1")
    assert len(plane.inputs) == 4


def test_invalid_code_is_validated_again(plane: ControlPlane) -> None:
    for _ in range(2):
        with pytest.raises(DynamicBlockCodeError):
            validate_code_in_modal(code("def run(self)\n    return {}"), "ws-1")
    assert len(plane.inputs) == 2


@pytest.mark.usefixtures("plane")
def test_a_syntax_error_names_the_users_line() -> None:
    with pytest.raises(DynamicBlockCodeError) as caught:
        validate_code_in_modal(code("def run(self):\n    x = 1\n    return {'x' x}\n"), "ws-1")
    assert caught.value.error_line == 3
    assert caught.value.code_snippet is not None
    assert ">>> 3:     return {'x' x}" in caught.value.code_snippet
    assert caught.value.public_message.startswith("SyntaxError: ")
    assert caught.value.public_message.endswith("(line 3)")
    assert caught.value.context == "dynamic_block_code_compilation"


@pytest.mark.usefixtures("plane")
def test_an_import_that_does_not_resolve_is_found() -> None:
    with pytest.raises(DynamicBlockCodeError, match="ModuleNotFoundError: No module named 'not_there'"):
        validate_code_in_modal(code(imports=["import not_there"]), "ws-1")


@pytest.mark.usefixtures("plane")
@pytest.mark.parametrize(
    ("source", "fields", "missing"),
    [
        ("def walk(self): pass", {}, "run"),
        ("def run(self): pass", {"run_function_name": "start"}, "start"),
        ("def run(self): pass", {"init_function_code": "def begin(): return {}"}, "init"),
    ],
)
def test_a_missing_function_is_found(source: str, fields: dict[str, str], missing: str) -> None:
    with pytest.raises(DynamicBlockError, match=f"Cannot find function: {missing} in declared code"):
        validate_code_in_modal(code(source, **fields), "ws-1")


@pytest.mark.usefixtures("plane")
def test_the_functions_are_not_run() -> None:
    source = "def run(self):\n    raise RuntimeError('ran')"
    assert validate_code_in_modal(code(source, init_function_code="def init():\n    raise RuntimeError('ran')"), "ws-1")


@pytest.mark.parametrize(
    "change",
    [
        {"run_function_code": "def run(self):\n    return 2"},
        {"run_function_name": "other"},
        {"init_function_code": "def init(): return {}"},
        {"init_function_name": "other"},
        {"imports": ["import os"]},
    ],
)
def test_every_part_of_the_code_counts(change: dict[str, object]) -> None:
    assert hash_code(code()) != hash_code(code().model_copy(update=change))
