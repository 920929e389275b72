"""Keeps what a block prints, bounded, while it still reaches the container's own log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any, TextIO

from roboflow_workflows.execution_engine.v1.dynamic_blocks.error_utils import _ThreadDispatchStream

from modal_app.contract.response import Output

CUT = "\n... [output truncated]"


class Tee:
    """A text stream that forwards to another one and keeps the first `limit` characters."""

    def __init__(self, stream: TextIO, limit: int) -> None:
        self._stream = stream
        self._kept: list[str] = []
        self._room = limit
        self._cut = False

    def write(self, text: str) -> int:
        """As of any text stream."""
        written = self._stream.write(text)
        if len(text) > self._room:
            self._cut = True
        if self._room:
            self._kept.append(text[: self._room])
            self._room -= len(self._kept[-1])
        return written

    def text(self) -> str:
        """What was kept, with a note if that isn't all."""
        return printable("".join(self._kept)) + (CUT if self._cut else "")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(frozen=True)
class Printed:
    """Both streams of the process while `capture` lasts."""

    stdout: Tee
    stderr: Tee

    def output(self) -> Output:
        return Output(self.stdout.text(), self.stderr.text())


@contextmanager
def capture(limit: int) -> Iterator[Printed]:
    """Replaces sys.stdout and sys.stderr; the engine puts its own capture, one thread's, on top while a block runs."""
    printed = Printed(Tee(_below_engine(sys.stdout), limit), Tee(_below_engine(sys.stderr), limit))
    with redirect_stdout(printed.stdout), redirect_stderr(printed.stderr):
        yield printed


def _below_engine(stream: TextIO) -> TextIO:
    """What the engine's own capture, if an earlier run left it in place, forwards to; it comes on top anyway."""
    return stream._original if isinstance(stream, _ThreadDispatchStream) else stream


def printable(text: str) -> str:
    """`text` with what UTF-8 can't encode replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
