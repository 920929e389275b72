"""The checks, in the order of the table. Each module holds those of one concern.

A check's module is imported when it runs: most import the engine, which takes seconds and wants its environment first.
"""

from collections.abc import Callable
from importlib import import_module

from modal_app.settings import AppSettings
from modal_app.smoke.runner import Check

REACHABLE = "is MODAL_SERVER_URL right, and running? Local Modal: `make status`"


def all_checks(*, quick: bool) -> tuple[Check, ...]:
    """Every check; `quick` leaves out those that wait for a limit, start a process or import the whole engine.

    Raises:
        SettingsError: a setting of the app has a wrong value.
    """
    app = AppSettings.from_environment()
    first_call = app.startup_timeout_seconds + 30.0
    checks = (
        Check("control plane", _late("stack", "control_plane"), limit=15, late=REACHABLE, gate=True),
        Check("versions", _late("versions", "agree"), limit=first_call, late="see the app's logs", gate=True),
        Check("native call", _late("calls", "native_call")),
        Check("workspaces are separate", _late("separation", "of_workspaces")),
    )
    syntax_error = Check("syntax error", _late("calls", "syntax_error"))
    hostile_result = Check("hostile result", _late("hostile", "refused"))
    if quick:
        return (*checks, Check("anonymous policy", _late("anonymous", "refused")), syntax_error, hostile_result)
    return (
        *checks,
        Check("anonymous policy", _late("anonymous", "policy"), limit=90, beside=True),
        syntax_error,
        Check("timeout", _late("calls", "timeout"), limit=app.timeout_seconds + 15.0, beside=True),
        hostile_result,
        Check("workflow on a picture", _late("workflow", "on_a_picture"), limit=90),
    )


def _late(module: str, function: str) -> Callable[[], str]:
    def run() -> str:
        detail: str = getattr(import_module(f"{__name__}.{module}"), function)()
        return detail

    return run
