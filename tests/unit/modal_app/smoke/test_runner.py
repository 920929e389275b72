"""Checks are run whatever the others do, within their limits, and told in order."""

import threading

from modal_app.smoke.runner import Check, CheckFailedError, Outcome, StackUnusableError, Status, run_checks


def fails(error: Exception) -> Check:
    def run() -> str:
        raise error

    return Check("fails", run)


def passes(name: str = "passes", *, gate: bool = False) -> Check:
    return Check(name, lambda: "fine", gate=gate)


def told(*checks: Check) -> list[tuple[str, Status]]:
    return [(outcome.name, outcome.status) for outcome in run_checks(checks)]


def only(check: Check) -> Outcome:
    (outcome,) = run_checks([check])
    return outcome


def test_a_check_that_fails_leaves_the_others_alone() -> None:
    assert told(passes(), fails(ValueError("no")), passes("last")) == [
        ("passes", Status.PASSED),
        ("fails", Status.FAILED),
        ("last", Status.PASSED),
    ]


def test_any_exception_is_one_line_and_names_itself() -> None:
    assert only(fails(ValueError("two\n  lines"))).detail == "ValueError: two lines"


def test_the_reason_of_a_failed_check_stands_alone() -> None:
    assert only(fails(CheckFailedError("it is broken"))).detail == "it is broken"


def test_a_check_that_hangs_is_given_up_on_at_its_limit() -> None:
    never = threading.Event()

    def hang() -> str:
        never.wait()
        return ""

    hangs = Check("hangs", hang, limit=0.05, late="look at the log")
    outcomes = list(run_checks([hangs, passes()]))
    never.set()
    assert outcomes[0].status is Status.FAILED
    assert outcomes[0].detail == "no answer within 0.05 s: look at the log"
    assert outcomes[1].status is Status.PASSED


def test_a_check_beside_the_others_does_not_hold_them_up() -> None:
    others_done = threading.Event()

    def wait() -> str:
        return "fine" if others_done.wait(10) else "the others waited"

    def end() -> str:
        others_done.set()
        return "fine"

    waits = Check("waits", wait, beside=True)
    assert [outcome.detail for outcome in run_checks([waits, Check("ends", end)])] == ["fine", "fine"]


def test_nothing_is_tried_where_nothing_can_pass() -> None:
    gate = Check("gate", fails(StackUnusableError("no control plane")).run, gate=True)
    assert told(gate, passes("second gate", gate=True), passes()) == [
        ("gate", Status.FAILED),
        ("second gate", Status.NOT_RUN),
        ("passes", Status.NOT_RUN),
    ]


def test_a_gate_that_only_fails_lets_the_others_try() -> None:
    gate = Check("gate", fails(CheckFailedError("another version")).run, gate=True)
    assert told(gate, passes()) == [("gate", Status.FAILED), ("passes", Status.PASSED)]
