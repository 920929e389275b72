"""The checks, in the order of the table. Each module holds those of one concern.

A check's module is imported when it runs: most import the engine, which takes seconds and wants its environment first.
"""

from collections.abc import Callable
from importlib import import_module

from modal_app.settings import AppSettings
from modal_app.smoke.runner import Check

REACHABLE = "is MODAL_SERVER_URL right, and does it run? Local Modal: `make status`; `make deploy` starts it"


def all_checks(*, quick: bool) -> tuple[Check, ...]:
    """Every check; with `quick` only that the deployed class runs a block, which takes a second.

    Raises:
        SettingsError: a setting of the app has a wrong value.
    """
    app = AppSettings.from_environment()
    first_call = app.startup_timeout_seconds + 30.0
    control_plane = Check("control plane", _late("stack", "control_plane"), limit=15, late=REACHABLE, gate=True)
    if quick:
        return (control_plane, Check("a container answers", _late("container", "answers"), limit=first_call))
    return (
        control_plane,
        Check("versions", _late("versions", "agree"), limit=first_call, late="see the app's logs", gate=True),
        Check("native call", _late("calls", "native_call")),
        Check("workspaces are separate", _late("separation", "of_workspaces")),
        Check("anonymous policy", _late("anonymous", "policy"), limit=90, beside=True),
        Check("http", _late("doors", "http"), limit=90, beside=True),
        Check("websocket", _late("doors", "websocket"), limit=120, beside=True),
        Check("session", _late("doors", "session"), limit=150, beside=True),
        Check("syntax error", _late("calls", "syntax_error")),
        Check("timeout", _late("calls", "timeout"), limit=app.timeout_seconds + 15.0, beside=True),
        Check("hostile result", _late("hostile", "refused")),
        Check("workflow on a picture", _late("workflow", "on_a_picture"), limit=90),
    )


def _late(module: str, function: str) -> Callable[[], str]:
    def run() -> str:
        detail: str = getattr(import_module(f"{__name__}.{module}"), function)()
        return detail

    return run
