"""Where code fails is told in the block's own lines, also where it doesn't compile."""

import pytest

from modal_app.contract.response import Frame
from tests.unit.modal_app.sandbox.test_runner import code, failure_of

PLAIN = "def run(self):\n    return {}\n"


@pytest.mark.parametrize(
    ("run", "line", "message"),
    [
        ("def run(self):\n    return 'one\n", 2, "unterminated string literal (detected at line 2)"),
        (
            "def run(self):\n    if self:\n    return 1\n",
            3,
            "expected an indented block after 'if' statement on line 2",
        ),
        ("x = (1,\n\n]\n", 3, "closing parenthesis ']' does not match opening parenthesis '(' on line 1"),
    ],
)
def test_each_line_that_a_syntax_error_mentions_is_one_of_the_blocks_code(run: str, line: int, message: str) -> None:
    error = failure_of(code(run)).errors[-1]
    assert (error.message, error.frames) == (message, (Frame(line, "<module>"),))


def test_an_import_that_does_not_compile_is_no_line_of_the_code() -> None:
    error = failure_of(code(PLAIN, imports=["import import"])).errors[-1]
    assert (error.message, error.frames) == ("invalid syntax (in the block's imports)", ())


def test_code_that_a_block_compiles_itself_fails_at_the_blocks_line() -> None:
    error = failure_of(code("def run(self):\n    x = 1\n    eval('1 +')\n")).errors[-1]
    assert (error.type, error.frames) == ("SyntaxError", (Frame(3, "run"),))
    assert error.message == "invalid syntax (<string>, line 1)"


def test_an_exception_of_the_engines_class_that_a_block_raises_is_the_blocks() -> None:
    raising = "\nraise DynamicBlockError(public_message='mine', context='here')\n" + PLAIN
    error = failure_of(code(raising, imports=["from roboflow_workflows.errors import DynamicBlockError"])).errors[-1]
    assert (error.type, error.message, error.frames) == ("DynamicBlockError", "mine", (Frame(2, "<module>"),))


def test_a_missing_function_is_named() -> None:
    assert failure_of(code("x = 1\n")).missing_function == "run"
