"""Apps and their deployments: each version's layout is kept, so that a rollback restores all of it."""

import json
import time
from dataclasses import dataclass, field

from modal_proto import api_pb2

from local_modal.ids import new_id
from local_modal.store.database import Database, Row

LIVE_STATES = (api_pb2.APP_STATE_DEPLOYED, api_pb2.APP_STATE_EPHEMERAL, api_pb2.APP_STATE_DETACHED)


@dataclass(frozen=True)
class App:
    """One app. `name` is set while it is deployed under it; `version` counts its deployments from 1."""

    app_id: str
    environment: str
    name: str
    description: str
    state: int
    version: int
    created_at: float
    stopped_at: float

    @property
    def live(self) -> bool:
        """Whether its functions can be called."""
        return self.state in LIVE_STATES


@dataclass(frozen=True)
class Layout:
    """What a deployment consists of: tags → ids, and the definition that each function runs."""

    functions: dict[str, str] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """As it lies in the table."""
        return json.dumps(self.__dict__, sort_keys=True)


@dataclass(frozen=True)
class Deployment:
    """One version of an app."""

    app_id: str
    version: int
    layout: Layout
    deployed_at: float
    deployed_by: str
    client_version: str
    tag: str
    commit_info: bytes
    rollback_version: int = 0


class Apps:
    """Create, look up, publish, roll back, stop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, environment: str, description: str, state: int, name: str = "") -> App:
        """A new app; without `name` it can't be looked up before it is published."""
        app = App(new_id("ap"), environment, name, description, state, 0, time.time(), 0.0)
        self._database.run(
            "INSERT INTO apps VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(app.app_id, app.environment, app.name, app.description, app.state, app.version, app.created_at, 0.0),
        )
        return app

    def get(self, app_id: str) -> App | None:
        """The app of that id."""
        row = self._database.one("SELECT * FROM apps WHERE app_id = ?", app_id)
        return App(**dict(row)) if row else None

    def deployed(self, environment: str, name: str) -> App | None:
        """The app that is deployed under that name."""
        row = self._database.one(
            "SELECT * FROM apps WHERE environment = ? AND name = ? AND state = ?",
            *(environment, name, api_pb2.APP_STATE_DEPLOYED),
        )
        return App(**dict(row)) if row else None

    def stopped(self, environment: str, name: str) -> App | None:
        """The app that was last stopped under that name."""
        row = self._database.one(
            "SELECT * FROM apps WHERE environment = ? AND description = ? AND state = ? ORDER BY stopped_at DESC",
            *(environment, name, api_pb2.APP_STATE_STOPPED),
        )
        return App(**dict(row)) if row else None

    def all(self, environment: str) -> list[App]:
        """By age, the newest first."""
        rows = self._database.all("SELECT * FROM apps WHERE environment = ? ORDER BY created_at DESC", environment)
        return [App(**dict(row)) for row in rows]

    def live(self) -> list[App]:
        """Those whose functions can be called, of any environment."""
        marks = ", ".join("?" * len(LIVE_STATES))
        rows = self._database.all(f"SELECT * FROM apps WHERE state IN ({marks})", *LIVE_STATES)  # noqa: S608 - marks only
        return [App(**dict(row)) for row in rows]

    def stop_left_over(self) -> None:
        """Apps whose client was there only as long as the last control plane: they have ended with it."""
        self._database.run(
            "UPDATE apps SET state = ?, stopped_at = ? WHERE state IN (?, ?)",
            *(api_pb2.APP_STATE_STOPPED, time.time(), api_pb2.APP_STATE_EPHEMERAL, api_pb2.APP_STATE_INITIALIZING),
        )

    def set_state(self, app_id: str, state: int) -> None:
        """Stopping frees the app's name."""
        stopped = state == api_pb2.APP_STATE_STOPPED
        self._database.run(
            "UPDATE apps SET state = ?, name = CASE WHEN ? THEN '' ELSE name END, stopped_at = ? WHERE app_id = ?",
            *(state, stopped, time.time() if stopped else 0.0, app_id),
        )

    def publish(self, deployment: Deployment, name: str, state: int) -> None:
        """Make the deployment the live one, in one transaction."""
        with self._database.transaction():
            self._database.run(
                "INSERT INTO deployments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                deployment.app_id,
                deployment.version,
                deployment.layout.to_json(),
                deployment.deployed_at,
                deployment.deployed_by,
                deployment.client_version,
                deployment.tag,
                deployment.commit_info,
                deployment.rollback_version,
            )
            self._database.run(
                "UPDATE apps SET name = ?, state = ?, version = ? WHERE app_id = ?",
                *(name, state, deployment.version, deployment.app_id),
            )

    def deployment(self, app_id: str, version: int) -> Deployment | None:
        """One version of an app."""
        row = self._database.one("SELECT * FROM deployments WHERE app_id = ? AND version = ?", app_id, version)
        return _deployment(row) if row else None

    def history(self, app_id: str) -> list[Deployment]:
        """Every version, the newest first."""
        rows = self._database.all("SELECT * FROM deployments WHERE app_id = ? ORDER BY version DESC", app_id)
        return [_deployment(row) for row in rows]

    def deployments(self) -> list[Deployment]:
        """Every version of every app."""
        return [_deployment(row) for row in self._database.all("SELECT * FROM deployments")]

    def layout(self, app: App) -> Layout:
        """What is live; empty before the first deployment."""
        deployment = self.deployment(app.app_id, app.version)
        return deployment.layout if deployment else Layout()


def _deployment(row: Row) -> Deployment:
    values = dict(row)
    return Deployment(**{**values, "layout": Layout(**json.loads(values["layout"]))})
