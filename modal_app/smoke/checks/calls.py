"""Single calls: values there and back, a failure at the right line, the time limit."""

import tempfile
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from modal_app.server import configuration
from modal_app.smoke import server
from modal_app.smoke.runner import CheckFailedError

ECHO = """
def run(self, values):
    values["total"] = int(values["array"].sum())
    return values
"""

BAD_SYNTAX = """
def run(self, image):
    edges = cv2.Canny(image.numpy_image, 50, 150
    return {"edges": edges}
"""
BAD_SYNTAX_LINE = 3

BAD_TOP_LEVEL = """
try:
    open({canary!r}, "w").close()
except OSError:
    pass
boxes = np.zeros(4).reshape(3)
def run(self):
    return {{}}
"""
BAD_TOP_LEVEL_LINE = 6

ENDLESS = """
def run(self):
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass
"""
EARLIEST, LATEST = -0.5, 10.0
"""When a call may end, from its limit on (s)."""


def native_call() -> str:
    """Values of several kinds arrive in a block as they are, and come back so."""
    array = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    values: dict[str, Any] = {
        "moment": datetime(2024, 2, 29, 12, 30, 15, 250, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        "utc": datetime.now(UTC),
        "bytes": bytes(range(256)),
        "json": {"text": "ünï ✓", "numbers": [1, -2.5, 2**70, True, None], "nested": {"empty": []}},
    }
    begin = time.perf_counter()
    back = server.run_block(ECHO, values={**values, "array": array})
    milliseconds = 1000 * (time.perf_counter() - begin)
    if back.pop("total") != array.sum():
        raise CheckFailedError("the block added the numbers of an array up to another sum")
    returned = back.pop("array")
    if not (isinstance(returned, np.ndarray) and returned.dtype == array.dtype and np.array_equal(returned, array)):
        raise CheckFailedError("an array came back as another one")
    for name, value in values.items():
        if back.get(name) != value:
            raise CheckFailedError(f"{name}: {str(value)[:80]!r} came back as {str(back.get(name))[:80]!r}")
    return f"{milliseconds:.0f} ms for a fresh container, there and back"


def syntax_error() -> str:
    """Broken code is refused with its line, by a sandbox: the code's top level runs there and not in this process."""
    _expect_refusal(BAD_SYNTAX, "SyntaxError", BAD_SYNTAX_LINE)
    with tempfile.TemporaryDirectory(prefix="smoke-") as folder:
        canary = Path(folder) / "canary"
        _expect_refusal(BAD_TOP_LEVEL.format(canary=str(canary)), "ValueError", BAD_TOP_LEVEL_LINE)
        if canary.exists():
            raise CheckFailedError("code that was only to be validated ran on this machine, outside a sandbox")
    return f"refused at line {BAD_SYNTAX_LINE}; an error of the top level, at line {BAD_TOP_LEVEL_LINE}"


def timeout() -> str:
    """A block that never ends is ended at the limit, though it catches everything, and reads as a timeout."""
    limit = configuration.APP.timeout_seconds
    begin = time.monotonic()
    error = server.error_of(lambda: server.run_block(ENDLESS))
    seconds = time.monotonic() - begin
    if error is None:
        raise CheckFailedError("a block that never ends came back with a result")
    if "TimeoutError" not in error.public_message or f"{limit} s" not in error.public_message:
        raise CheckFailedError(f"it didn't read as a timeout of {limit} s: {error.public_message}")
    if not EARLIEST <= seconds - limit <= LATEST:
        raise CheckFailedError(f"the limit is {limit} s, and the call ended after {seconds:.1f} s")
    return f"ended after {seconds:.1f} s; the limit is {limit} s"


def _expect_refusal(source: str, kind: str, line: int) -> None:
    error = server.error_of(lambda: server.validate_block(source))
    if error is None:
        raise CheckFailedError(f"code with a {kind} was found valid")
    if kind not in error.public_message:
        raise CheckFailedError(f"code with a {kind} was refused for another reason: {error.public_message}")
    named = getattr(error, "error_line", None)
    if named != line:
        raise CheckFailedError(f"the {kind} is in line {line}, and the refusal names line {named}")
    text = source.splitlines()[line - 1]
    if text not in (error.code_snippet or ""):
        raise CheckFailedError(f"the refusal of the {kind} doesn't show the line {text.strip()!r}")
