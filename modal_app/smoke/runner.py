"""Runs checks within their time limits and says how each went; whatever a check does, the others are run.

A check that hangs is given up on: its thread is a daemon's, left to itself.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

MAX_DETAIL_CHARS = 400


class CheckFailedError(Exception):
    """What a check looked for isn't so; the message is its reason, in a line."""


class StackUnusableError(CheckFailedError):
    """Not only this check fails: no other one could pass."""


class Status(StrEnum):
    """How a check went."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Check:
    """One row of the smoke test."""

    name: str
    run: Callable[[], str]
    """Gives a detail worth printing, or raises; any exception is a failure."""
    limit: float = 30.0
    """How long it may take (s)."""
    late: str = ""
    """What to do if it takes longer."""
    gate: bool = False
    """Whether the others wait for it, and aren't run if it isn't done in time."""
    beside: bool = False
    """Whether it runs beside the others, since it mostly waits."""


@dataclass(frozen=True)
class Outcome:
    """What became of a check; `seconds` is how long it took, `detail` one line."""

    name: str
    status: Status
    seconds: float
    detail: str


def run_checks(checks: Sequence[Check]) -> Iterator[Outcome]:
    """The outcome of each check, in the order of `checks`, each as soon as it and those before it are known."""
    unusable = ""
    for check in [check for check in checks if check.gate]:
        if unusable:
            yield Outcome(check.name, Status.NOT_RUN, 0.0, unusable)
            continue
        outcome, ends_all = _run(check)
        unusable = f"{check.name}: see above" if ends_all else ""
        yield outcome
    others = [check for check in checks if not check.gate]
    if unusable:
        yield from (Outcome(check.name, Status.NOT_RUN, 0.0, unusable) for check in others)
        return
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def run_in_turn(group: Sequence[Check]) -> None:
        for check in group:
            outcomes.put(_run(check)[0])

    for group in (*[[check] for check in others if check.beside], [check for check in others if not check.beside]):
        threading.Thread(target=run_in_turn, args=(group,), daemon=True).start()
    known: dict[str, Outcome] = {}
    for check in others:
        while check.name not in known:
            outcome = outcomes.get()
            known[outcome.name] = outcome
        yield known[check.name]


def _run(check: Check) -> tuple[Outcome, bool]:
    """The outcome, and whether nothing else can pass."""
    answers: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(check.run())
        except Exception as error:  # noqa: BLE001 - any of them is this check's failure
            answers.put(error)

    begin = time.monotonic()
    threading.Thread(target=work, name=check.name, daemon=True).start()
    try:
        answer = answers.get(timeout=check.limit)
    except queue.Empty:
        late = f"no answer within {check.limit:g} s" + (f": {check.late}" if check.late else "")
        answer = StackUnusableError(late) if check.gate else CheckFailedError(late)
    seconds = time.monotonic() - begin
    if isinstance(answer, Exception):
        ends_all = isinstance(answer, StackUnusableError)
        return Outcome(check.name, Status.FAILED, seconds, _reason(answer)), ends_all
    return Outcome(check.name, Status.PASSED, seconds, answer), False


def _reason(error: Exception) -> str:
    """One line: an engine's exception says what to do in `public_message`, ours speak for themselves."""
    text = getattr(error, "public_message", None) or str(error)
    if not isinstance(error, CheckFailedError) and not hasattr(error, "public_message"):
        text = f"{type(error).__name__}: {text}"
    line = " ".join(str(text).split())
    return line if len(line) <= MAX_DETAIL_CHARS else line[:MAX_DETAIL_CHARS] + "…"
