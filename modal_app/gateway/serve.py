"""The doors of one container of the Gateway, set up from its environment: both call the same Executors."""

import os
from collections.abc import Mapping
from functools import cache

from starlette.applications import Starlette

from modal_app.gateway.app import http_app, websocket_app
from modal_app.gateway.endpoint import Endpoint
from modal_app.gateway.executor import Executors, call_seconds
from modal_app.gateway.service import Service
from modal_app.settings import AppSettings, WebSettings

_APP = ("timeout_seconds", "startup_timeout_seconds")
GIVEN = {setting.variable for setting in WebSettings.settings()} | {
    setting.variable for setting in AppSettings.settings() if setting.name in _APP
}
"""Variables that a door's container was deployed with."""


@cache
def _endpoint() -> Endpoint:
    web, app = own_settings()
    seconds = call_seconds(app.timeout_seconds, app.startup_timeout_seconds)
    return Endpoint(Service(Executors(app.timeout_seconds), web), seconds)


def own_settings(environ: Mapping[str, str] = os.environ) -> tuple[WebSettings, AppSettings]:
    """The settings that this container was deployed with, and no others that its environment may hold."""
    given = {name: text for name, text in environ.items() if name in GIVEN}
    return WebSettings.from_environment(given), AppSettings.from_environment(given)


def http() -> Starlette:
    """Of `execute-block`."""
    return http_app(_endpoint().service)


def websocket() -> Starlette:
    """Of `wsapp`."""
    return websocket_app(_endpoint())
