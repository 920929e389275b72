"""Turns what user code raised into data: the chain of exceptions, each with its lines in the user's own code.

Exceptions are objects of the user's classes: asking one for its message runs code of theirs, which may raise, hang
until the container's limit, or lie. None of it reaches the caller as anything but bounded text.
"""

import re
import traceback
from collections.abc import Iterator

from roboflow_workflows.errors import DynamicBlockCodeError, DynamicBlockError
from roboflow_workflows.execution_engine.v1.dynamic_blocks import error_utils
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.contract.response import MAX_CHAIN, MAX_NAME_CHARS, Failure, Frame, RaisedError, Stage
from modal_app.sandbox.block import SOURCE_FILE, code_lines, lines_before_code
from modal_app.sandbox.output import printable
from modal_app.settings import Limits

_LINE = re.compile(r"\bline (\d+)")


def describe(error: BaseException, stage: Stage, code: PythonCode, limits: Limits) -> Failure:
    """The failure that `error`, raised by the engine or by user code at `stage`, amounts to."""
    original = _original(error)
    place = _Place(code, limits)
    if isinstance(original, DynamicBlockError) and not place.frames(original):
        message = printable(original.public_message)[: limits.message_chars]
        return Failure(stage, (RaisedError("DynamicBlockError", message),), _missing(code, original))
    chain = [place.describe(link, cause) for link, cause in _chain(original)]
    return Failure(stage, tuple(reversed(chain)))


def _original(error: BaseException) -> BaseException:
    """The user's exception, out of the engine's: also where the engine failed to read its message."""
    if isinstance(error, DynamicBlockCodeError) and isinstance(error.inner_error, BaseException):
        return error.inner_error
    frames = traceback.extract_tb(error.__traceback__)
    if error.__context__ is not None and any(frame.filename == error_utils.__file__ for frame in frames):
        return error.__context__
    return error


def _missing(code: PythonCode, error: DynamicBlockError) -> str | None:
    names = (code.run_function_name, code.init_function_name)
    return next((printable(name) for name in names if f"function: {name} in" in error.public_message), None)


def _chain(error: BaseException) -> Iterator[tuple[BaseException, bool]]:
    """The exception and those that led to it, latest first, as a traceback shows them."""
    seen: set[int] = set()
    link: BaseException | None = error
    cause = False
    while link is not None and id(link) not in seen and len(seen) < MAX_CHAIN:
        seen.add(id(link))
        yield link, cause
        cause = link.__cause__ is not None
        link = link.__cause__ if cause or link.__suppress_context__ else link.__context__


class _Place:
    """Finds lines of the block's own code."""

    def __init__(self, code: PythonCode, limits: Limits) -> None:
        self.before = lines_before_code(code)
        self.lines = code_lines(code)
        self.limits = limits

    def describe(self, error: BaseException, cause: bool) -> RaisedError:
        frames, message = self.frames(error), None
        if not frames and isinstance(error, SyntaxError) and error.filename == SOURCE_FILE and error.lineno:
            frames, message = self.syntax_error(error, error.lineno - self.before)
        message = _text(error) if message is None else message
        return RaisedError(_type_name(error), message[: self.limits.message_chars], frames, cause)

    def syntax_error(self, error: SyntaxError, line: int) -> tuple[tuple[Frame, ...], str]:
        """Where the code doesn't compile, and why; nothing of it has run, so there are no frames."""
        message = _LINE.sub(lambda found: f"line {int(found[1]) - self.before}", str(error.msg))
        if line < 1:
            return (), f"{error.msg} (in the block's imports)"
        return (Frame(line, "<module>"),), message

    def frames(self, error: BaseException) -> tuple[Frame, ...]:
        found = [
            Frame(line - self.before, printable(frame.f_code.co_name)[:MAX_NAME_CHARS])
            for frame, line in traceback.walk_tb(error.__traceback__)
            if frame.f_code.co_filename == SOURCE_FILE and 0 < line - self.before <= self.lines
        ]
        return tuple(found[-self.limits.traceback_frames :])


def _text(error: BaseException) -> str:
    try:
        return printable(str(error))
    except BaseException as problem:  # noqa: BLE001 - the user's own __str__
        return f"<no message: reading it raised {_type_name(problem)}>"


def _type_name(error: BaseException) -> str:
    return printable(type.__dict__["__name__"].__get__(type(error)))[:MAX_NAME_CHARS]
