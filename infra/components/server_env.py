"""What an inference server needs to use the stack: its environment variables, credentials apart."""

import os
from collections.abc import Mapping

from infra.settings import Settings

SERVER_URL = "MODAL_SERVER_URL"
PLUGIN = "WORKFLOWS_PLUGINS"
CONNECTION = (SERVER_URL, "MODAL_DISABLE_API_PROXY")
"""Where Modal is, and that the machine's proxy isn't on the way there."""


def server_url(environ: Mapping[str, str] = os.environ) -> str | None:
    """Address of a Modal that isn't modal.com, such as local Modal."""
    return environ.get(SERVER_URL) or None


def server_env(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables by name; those of the stack's `serverSecrets` and of the tokens aren't among them."""
    url = server_url(environ)
    return {
        **settings.server_env,
        **settings.server_variables,
        "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "False",
        "MODAL_ALLOW_ANONYMOUS_EXECUTION": str(settings.anonymous),
        "MODAL_ENVIRONMENT": settings.environment,
        "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "modal",
        PLUGIN: "modal_app.server.plugin",
        **{name: environ[name] for name in CONNECTION if url and environ.get(name)},
    }
