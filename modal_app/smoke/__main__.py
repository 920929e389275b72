"""The command: checks the stack that the environment names; exit status 1 if a check fails."""

import argparse
import logging
import os
import sys
import warnings

from modal_app.settings import SettingsError
from modal_app.smoke.checks import all_checks
from modal_app.smoke.environment import prepare
from modal_app.smoke.report import JsonReport, TableReport
from modal_app.smoke.runner import Status, run_checks

INTERRUPTED = 130
"""Exit status of a command that Ctrl-C ended."""


def main() -> int:
    """Runs the checks and reports each as soon as those before it are known."""
    parser = argparse.ArgumentParser("python -m modal_app.smoke", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only what takes a few seconds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # the engine's own, about its own packages
    logging.disable(logging.WARNING)
    prepare(os.environ)
    try:
        checks = all_checks(quick=options.quick)
    except SettingsError as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    report = JsonReport() if options.json else TableReport(checks)
    passed = True
    try:
        for outcome in run_checks(checks):
            report.add(outcome)
            passed = passed and outcome.status is Status.PASSED
    except KeyboardInterrupt:
        return INTERRUPTED
    report.end()
    return 0 if passed else 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a check that hangs must not keep the process
