"""Shows outcomes, as a table or as JSON."""

import json
from collections.abc import Sequence

from modal_app.smoke.runner import Check, Outcome, Status

MARKS = {Status.PASSED: "✓", Status.FAILED: "✗", Status.NOT_RUN: "-"}


class TableReport:
    """A line for each check, printed as soon as it is known."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._width = max(len(check.name) for check in checks)
        self._failed = 0

    def add(self, outcome: Outcome) -> None:
        """Prints the line of a check."""
        self._failed += outcome.status is not Status.PASSED
        seconds = f"{outcome.seconds:6.2f} s"
        print(f"{outcome.name:<{self._width}} {seconds}  {MARKS[outcome.status]}  {outcome.detail}", flush=True)

    def end(self) -> None:
        """Prints the verdict if it isn't obvious."""
        if self._failed:
            print(f"{self._failed} of the checks did not pass")


class JsonReport:
    """One object: {"passed": bool, "checks": [{"name", "status", "seconds", "detail"}]}."""

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Keeps it for the end."""
        self._outcomes.append(outcome)

    def end(self) -> None:
        """Prints the object."""
        checks = [
            {"name": each.name, "status": each.status.value, "seconds": round(each.seconds, 3), "detail": each.detail}
            for each in self._outcomes
        ]
        passed = all(each.status is Status.PASSED for each in self._outcomes)
        print(json.dumps({"passed": passed, "checks": checks}, indent=2, ensure_ascii=False))
