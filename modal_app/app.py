"""The Modal objects: the app, and its classes. `Executor` runs one custom block in one fresh container; `Gateway` and
`Session` are doors for servers that speak the released package's own wire.

Deployed by `modal deploy -m modal_app.app`. What runs blocks is parameterised by the workspace alone; code and inputs
come with each call. What the methods of `Executor` take and give is in `modal_app.contract`. Each class says all that
holds for it in its own declaration, which the policy `no-unrestricted-executor` reads.
"""

import os
from typing import Any

import modal

from modal_app.image import executor_image, gateway_image
from modal_app.settings import APP_NAME, AppSettings, WebSettings

SECRETS_VARIABLE = "CUSTOM_BLOCKS_SECRETS"
GRACE_SECONDS = 60
"""For the end of a connection, beyond what it and a block of it may last."""


def read_settings() -> AppSettings:
    """The settings of this deploy; in a container, those of them that it must know: which Secrets are attached.

    There Modal's runner compares what the class depends on with what it was deployed with (`hydrate_function` in
    modal/_container_entrypoint.py). Other variables are a block's own business, and break nothing.
    """
    if modal.is_local():
        return AppSettings.from_environment()
    deployed = {name: value for name, value in os.environ.items() if name == SECRETS_VARIABLE}
    return AppSettings.from_environment(deployed)


def read_web_settings() -> WebSettings:
    """The doors' settings of this deploy. Their containers read them where they need them (`doors_environment`)."""
    return WebSettings.from_environment() if modal.is_local() else WebSettings()


SETTINGS = read_settings()
WEB = read_web_settings()

app = modal.App(APP_NAME, include_source=False)


def doors_environment() -> dict[str, str | None]:
    """What the doors' containers must know of this deploy. Modal takes `env` last, so that no Secret says otherwise."""
    own = {
        "CUSTOM_BLOCKS_TIMEOUT_SECONDS": str(SETTINGS.timeout_seconds),
        "CUSTOM_BLOCKS_STARTUP_TIMEOUT_SECONDS": str(SETTINGS.startup_timeout_seconds),
    }
    return {**WEB.variables, **own}


@app.cls(
    image=executor_image(SETTINGS),
    # Modal takes `env` last, so that no Secret can say otherwise.
    secrets=[modal.Secret.from_name(name) for name in SETTINGS.secrets],
    env={SECRETS_VARIABLE: ",".join(SETTINGS.secrets)} if SETTINGS.secrets else None,
    single_use_containers=True,
    timeout=SETTINGS.timeout_seconds,
    startup_timeout=SETTINGS.startup_timeout_seconds,
    scaledown_window=SETTINGS.scaledown_window_seconds,
    buffer_containers=SETTINGS.buffer_containers,
    max_containers=SETTINGS.max_containers,
    memory=SETTINGS.memory_mib and (SETTINGS.memory_mib, SETTINGS.memory_mib),
    cpu=SETTINGS.cpu and (SETTINGS.cpu, SETTINGS.cpu),
    region=SETTINGS.region,
    cloud=SETTINGS.cloud,
    routing_region=SETTINGS.routing_region,
    block_network=SETTINGS.network == "none",
    enable_memory_snapshot=True,
    restrict_modal_access=True,
    _experimental_restrict_output=True,
)
class Executor:
    """Runs the custom blocks of one workspace. Every call gets a container that has never run anything."""

    workspace_id: str = modal.parameter()

    @modal.enter(snap=True)
    def preload(self) -> None:
        """Imports what blocks need, before the memory snapshot: it is shared by all workspaces, so it reads none."""
        from modal_app.sandbox.preload import preload  # noqa: PLC0415 - inference is there in the container only

        preload()

    @modal.method()
    def execute(self, request: dict[str, Any]) -> dict[str, Any]:
        """Runs a block once; the answer is data only, whatever the block did."""
        from modal_app.sandbox.runner import execute  # noqa: PLC0415 - as above

        return execute(request)

    @modal.method()
    def execute_wire(self, request: dict[str, Any]) -> dict[str, Any]:
        """Runs a block once for the Gateway: inputs and result are in the released server's own encoding."""
        from modal_app.sandbox.wire.runner import execute_wire  # noqa: PLC0415 - as above

        return execute_wire(request)

    @modal.method()
    def validate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Loads a block's code without running its functions; the answer says what is wrong with it."""
        from modal_app.sandbox.runner import validate  # noqa: PLC0415 - as above

        return validate(request)


@app.cls(
    image=gateway_image(),
    env=doors_environment(),
    timeout=WEB.connection_seconds + SETTINGS.timeout_seconds + SETTINGS.startup_timeout_seconds + GRACE_SECONDS,
    startup_timeout=SETTINGS.startup_timeout_seconds,
    scaledown_window=WEB.gateway_scaledown_seconds,
    max_containers=WEB.gateway_max_containers,
    region=SETTINGS.region,
    cloud=SETTINGS.cloud,
    routing_region=SETTINGS.routing_region,
    enable_memory_snapshot=True,
)
@modal.concurrent(max_inputs=WEB.gateway_inputs)
class Gateway:
    """The released server's wire over HTTP and WebSocket. Trusted: it calls Executor, and runs no block itself."""

    @modal.enter(snap=True)
    def preload(self) -> None:
        """Imports what serves, before the memory snapshot."""
        import modal_app.gateway.serve  # noqa: F401, PLC0415 - its packages are there in the container only

    @modal.asgi_app(requires_proxy_auth=True)
    def execute_block(self) -> Any:
        """One POST runs one block."""
        from modal_app.gateway.serve import http  # noqa: PLC0415 - as above

        return http()

    @modal.asgi_app(requires_proxy_auth=True)
    def wsapp(self) -> Any:
        """One connection, at `/ws`, runs any number of blocks."""
        from modal_app.gateway.serve import websocket  # noqa: PLC0415 - as above

        return websocket()


@app.cls(
    image=executor_image(SETTINGS),
    secrets=[modal.Secret.from_name(name) for name in SETTINGS.secrets],
    env={**doors_environment(), SECRETS_VARIABLE: ",".join(SETTINGS.secrets)},
    single_use_containers=True,
    timeout=WEB.session_seconds + SETTINGS.timeout_seconds + GRACE_SECONDS,
    startup_timeout=SETTINGS.startup_timeout_seconds,
    scaledown_window=SETTINGS.scaledown_window_seconds,
    max_containers=SETTINGS.max_containers,
    memory=SETTINGS.memory_mib and (SETTINGS.memory_mib, SETTINGS.memory_mib),
    cpu=SETTINGS.cpu and (SETTINGS.cpu, SETTINGS.cpu),
    region=SETTINGS.region,
    cloud=SETTINGS.cloud,
    routing_region=SETTINGS.routing_region,
    block_network=SETTINGS.network == "none",
    enable_memory_snapshot=True,
    restrict_modal_access=True,
    _experimental_restrict_output=True,
)
class Session:
    """One connection over WebSocket is one container: blocks keep state as long as it lasts. For video and trackers."""

    workspace_id: str = modal.parameter(default="")

    @modal.enter(snap=True)
    def preload(self) -> None:
        """As of Executor."""
        from modal_app.sandbox.preload import preload_session  # noqa: PLC0415 - as above

        preload_session()

    @modal.asgi_app(requires_proxy_auth=True)
    def wsapp(self) -> Any:
        """The connection, at `/ws`."""
        from modal_app.sandbox.session import session_app  # noqa: PLC0415 - as above

        return session_app(self.workspace_id, os.environ)
