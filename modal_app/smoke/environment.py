"""Makes this process an inference server as an operator would set one up; before the engine is imported."""

from collections.abc import MutableMapping

SERVER = {
    "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "modal",
    "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "False",
    "WORKFLOWS_PLUGINS": "modal_app.server.plugin",
    "DISABLE_VERSION_CHECK": "True",
    "TELEMETRY_OPT_OUT": "True",
    "LOG_LEVEL": "ERROR",
}
PREFIX = "SMOKE_"
"""Of the variables that only this has: the doors' addresses and token, beside those of a native server."""
ANONYMOUS_VARIABLE = "MODAL_ALLOW_ANONYMOUS_EXECUTION"


def address_variable(door: str) -> str:
    """The variable with the address of a web endpoint, such as SMOKE_HTTP_URL."""
    return f"{PREFIX}{door.upper()}_URL"


def token_variables() -> dict[str, str]:
    """The variables with the proxy token, by what a released server calls them."""
    return {f"MODAL_TOKEN_{part}": f"{PREFIX}PROXY_TOKEN_{part}" for part in ("ID", "SECRET")}


def prepare(environ: MutableMapping[str, str]) -> None:
    """Sets the server's variables; what an operator may have chosen otherwise is left at the server's default.

    The server takes its credentials from variables alone: where they aren't set, those of the client's profile are put
    there, so that the smoke test reaches what `modal deploy` reaches.
    """
    from modal.config import config  # noqa: PLC0415 - reads the environment when it is imported

    environ.update(SERVER)
    environ.pop(ANONYMOUS_VARIABLE, None)
    for name in ("token_id", "token_secret"):
        if not environ.get(f"MODAL_{name.upper()}") and (value := config.get(name)):
            environ[f"MODAL_{name.upper()}"] = value
