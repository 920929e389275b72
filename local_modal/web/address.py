"""Where web endpoints are: labels as Modal forms them, addresses made of them, and who answers at which address.

An address is ``<workspace>[-<environment's web suffix>]--<label>``. It is a path here, ``/web/<address>``, since names
below `localhost` don't resolve everywhere; as a host, ``<address>.modal.localhost``, it works as well.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.scheduler.task import Definition
from local_modal.store.apps import App, Apps
from local_modal.store.environments import Environments
from local_modal.store.functions import Functions

PATH = "/web/"
HOST_SUFFIX = ".modal.localhost"
MAX_LABEL = 56
"""Longer labels are cut to it and get HASH_DIGITS of their SHA-256 (characters)."""
HASH_DIGITS = 6
DEV_SUFFIX = "dev"
"""Of the labels of apps that are there as long as their client (`modal serve`)."""
SERVED_TYPES = frozenset({api_pb2.WEBHOOK_TYPE_ASGI_APP, api_pb2.WEBHOOK_TYPE_FUNCTION, api_pb2.WEBHOOK_TYPE_WSGI_APP})
OWN_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True)
class Endpoint:
    """A web endpoint that is live. `method`: of a class; empty for a function."""

    definition: Definition
    method: str
    config: api_pb2.WebhookConfig
    label: str


def web_configs(definition: api_pb2.Function) -> dict[str, api_pb2.WebhookConfig]:
    """Method → how it is an endpoint, of those that are; a function's own method is empty."""
    found = {"": definition.webhook_config} | {
        name: method.webhook_config for name, method in definition.method_definitions.items()
    }
    return {name: config for name, config in found.items() if config.type != api_pb2.WEBHOOK_TYPE_UNSPECIFIED}


def label_of(app_name: str, tag: str, method: str, config: api_pb2.WebhookConfig, *, ephemeral: bool) -> str:
    """The label of an endpoint: the one that is asked for, else ``<app>-<function>`` or ``<app>-<class>-<method>``.

    Raises:
        LocalModalError: a label that can't be part of a host's name.
    """
    label = config.requested_suffix
    if label and not OWN_LABEL.fullmatch(label):
        raise LocalModalError(f"label {label[:80]!r} must consist of a-z, 0-9 and -, with no - at either end")
    if not label:
        parts = [app_name, tag.removesuffix(".*"), *([method] if method else [])]
        label = re.sub(r"[^a-z0-9-]", "-", "-".join(parts).lower())
    if ephemeral:
        label = f"{label}-{config.ephemeral_suffix or DEV_SUFFIX}"
    if len(label) <= MAX_LABEL:
        return label
    return f"{label[:MAX_LABEL]}-{hashlib.sha256(label.encode()).hexdigest()[:HASH_DIGITS]}"


class Addresses:
    """All live endpoints by address; worked out when one is asked for and something has changed since."""

    def __init__(self, workspace: str, apps: Apps, functions: Functions, environments: Environments) -> None:
        self._workspace = workspace
        self._apps = apps
        self._functions = functions
        self._environments = environments
        self._live: dict[str, Endpoint] | None = None

    def changed(self) -> None:
        """A deployment, a stop, or an environment's name or suffix."""
        self._live = None

    def find(self, address: str) -> Endpoint | None:
        """Who answers there."""
        return self._endpoints().get(address.lower())

    def of(self, app: App, tag: str, definition: api_pb2.Function) -> dict[str, str]:
        """Method → address, of a function's endpoints, whether it is live already or not.

        Raises:
            LocalModalError: a label that can't be one.
        """
        return {
            method: f"{self._prefix(app)}--{self._label(app, tag, method, config)}"
            for method, config in web_configs(definition).items()
        }

    def check(self, app: App, definitions: dict[str, api_pb2.Function]) -> None:
        """Whether an app's functions, by tag, can have their addresses.

        Raises:
            LocalModalError: two of them have the same, or another app's function has it.
        """
        taken: dict[str, str] = {}
        for tag, definition in definitions.items():
            for method, address in self.of(app, tag, definition).items():
                name = ".".join([tag.removesuffix(".*"), *([method] if method else [])])
                if address in taken:
                    raise LocalModalError(f"{taken[address]} and {name} have the same web address, {address}")
                taken[address] = name
                other = self.find(address)
                if other is not None and other.definition.app_id != app.app_id:
                    holder = self._apps.get(other.definition.app_id)
                    raise LocalModalError(
                        f"{name}: the web address {address} is that of app '{holder.description if holder else '?'}'; "
                        "choose another with label=…"
                    )

    def _endpoints(self) -> dict[str, Endpoint]:
        if self._live is None:
            self._live = {address: endpoint for app in self._apps.live() for address, endpoint in self._of_app(app)}
        return self._live

    def _of_app(self, app: App) -> Iterator[tuple[str, Endpoint]]:
        layout = self._apps.layout(app)
        for tag, function_id in layout.functions.items():
            definition_id = layout.definitions.get(function_id, "")
            function = self._functions.definition(definition_id)
            if function is None:
                continue
            live = Definition(definition_id, function_id, app.app_id, app.environment, function)
            for method, config in web_configs(function).items():
                label = self._label(app, tag, method, config)
                yield f"{self._prefix(app)}--{label}", Endpoint(live, method, config, label)

    def _label(self, app: App, tag: str, method: str, config: api_pb2.WebhookConfig) -> str:
        ephemeral = app.state == api_pb2.APP_STATE_EPHEMERAL
        return label_of(app.name or app.description, tag, method, config, ephemeral=ephemeral)

    def _prefix(self, app: App) -> str:
        environment = self._environments.get(app.environment)
        suffix = environment.web_suffix if environment else app.environment
        return (f"{self._workspace}-{suffix}" if suffix else self._workspace).lower()
