"""The Modal objects: the app, and the class that runs one custom block in one fresh container.

Deployed by `modal deploy -m modal_app.app`. The class is parameterised by the workspace alone; code and inputs come
with each call. What the methods take and give is in `modal_app.contract`.
"""

import os
from typing import Any

import modal

from modal_app.image import executor_image
from modal_app.settings import APP_NAME, AppSettings

SECRETS_VARIABLE = "CUSTOM_BLOCKS_SECRETS"


def read_settings() -> AppSettings:
    """The settings of this deploy; in a container, those of them that it must know: which Secrets are attached.

    There Modal's runner compares what the class depends on with what it was deployed with (`hydrate_function` in
    modal/_container_entrypoint.py). Other variables are a block's own business, and break nothing.
    """
    if modal.is_local():
        return AppSettings.from_environment()
    deployed = {name: value for name, value in os.environ.items() if name == SECRETS_VARIABLE}
    return AppSettings.from_environment(deployed)


SETTINGS = read_settings()

app = modal.App(APP_NAME, include_source=False)


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
    def validate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Loads a block's code without running its functions; the answer says what is wrong with it."""
        from modal_app.sandbox.runner import validate  # noqa: PLC0415 - as above

        return validate(request)
