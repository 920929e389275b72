"""The app, but for one thing: its snapshot hook reads the workspace, so that no two workspaces can share a snapshot."""

from typing import Any

import modal

from modal_app.image import executor_image
from modal_app.settings import APP_NAME, AppSettings

SETTINGS = AppSettings.from_environment()

app = modal.App(APP_NAME)


@app.cls(
    image=executor_image(SETTINGS),
    single_use_containers=True,
    timeout=SETTINGS.timeout_seconds,
    startup_timeout=SETTINGS.startup_timeout_seconds,
    enable_memory_snapshot=True,
    restrict_modal_access=True,
    _experimental_restrict_output=True,
)
class Executor:
    """As the app's own."""

    workspace_id: str = modal.parameter()

    @modal.enter(snap=True)
    def preload(self) -> None:
        """Imports what blocks need, for one workspace."""
        from modal_app.sandbox.preload import preload  # noqa: PLC0415 - inference is there in the container only

        preload()
        self.prepared_for = self.workspace_id

    @modal.method()
    def execute(self, request: dict[str, Any]) -> dict[str, Any]:
        """As the app's own."""
        from modal_app.sandbox.runner import execute  # noqa: PLC0415 - as above

        return execute(request)
