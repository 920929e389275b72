"""Apps: create, publish, look up, list, roll back, stop."""

import logging
import time
from dataclasses import replace

import google.protobuf.empty_pb2
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from local_modal.rpc.service import Service, conflict, invalid, not_found
from local_modal.scheduler.task import Definition
from local_modal.store.apps import App, Deployment, Layout

log = logging.getLogger(__name__)
Empty = google.protobuf.empty_pb2.Empty


class AppService(Service):
    """The life of an app."""

    async def AppCreate(self, request: api_pb2.AppCreateRequest) -> api_pb2.AppCreateResponse:
        environment = self.environment(request.environment_name)
        app = self.plane.apps.create(environment, request.description, request.app_state)
        return api_pb2.AppCreateResponse(
            app_id=app.app_id, app_page_url=self._url(app), app_logs_url=self._url(app) + "/logs"
        )

    async def AppGetOrCreate(self, request: api_pb2.AppGetOrCreateRequest) -> api_pb2.AppGetOrCreateResponse:
        environment = self.environment(request.environment_name)
        app = self.plane.apps.deployed(environment, request.app_name)
        if app is None and request.object_creation_type != api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
            not_found(f"App '{request.app_name}' not found in the '{environment}' environment.")
        if app is None:
            name = request.app_name
            app = self.plane.apps.create(environment, name, api_pb2.APP_STATE_DEPLOYED, name)
        return api_pb2.AppGetOrCreateResponse(app_id=app.app_id)

    async def AppGetByDeploymentName(
        self, request: api_pb2.AppGetByDeploymentNameRequest
    ) -> api_pb2.AppGetByDeploymentNameResponse:
        environment = self.environment(request.environment_name)
        response = api_pb2.AppGetByDeploymentNameResponse(environment_name=environment)
        if app := self.plane.apps.deployed(environment, request.name):
            response.app_id = app.app_id
            response.lifecycle.CopyFrom(self._lifecycle(app))
        elif app := self.plane.apps.stopped(environment, request.name):
            response.previous_app_id = app.app_id
            response.lifecycle.CopyFrom(self._lifecycle(app))
        return response

    async def AppGetLayout(self, request: api_pb2.AppGetLayoutRequest) -> api_pb2.AppGetLayoutResponse:
        return api_pb2.AppGetLayoutResponse(app_layout=self.layout_message(self.app(request.app_id)))

    async def AppGetLifecycle(self, request: api_pb2.AppGetLifecycleRequest) -> api_pb2.AppGetLifecycleResponse:
        return api_pb2.AppGetLifecycleResponse(lifecycle=self._lifecycle(self.app(request.app_id)))

    async def AppHeartbeat(self, request: api_pb2.AppHeartbeatRequest) -> Empty:
        self.app(request.app_id)
        return Empty()

    async def AppPublish(self, request: api_pb2.AppPublishRequest) -> api_pb2.AppPublishResponse:
        app = self.app(request.app_id)
        if request.staged:
            raise GRPCError(Status.UNIMPLEMENTED, "local Modal doesn't serve staged deployments")
        layout = Layout(dict(request.function_ids), dict(request.class_ids), dict(request.definition_ids))
        missing = [tag for tag, function_id in layout.functions.items() if function_id not in layout.definitions]
        if missing:
            invalid(f"no definition was created for {', '.join(missing)}")
        self._check_addresses(app, layout)
        before = self.plane.apps.layout(app)
        deployed = request.app_state == api_pb2.APP_STATE_DEPLOYED
        if deployed and app.state == api_pb2.APP_STATE_DEPLOYED and layout == before and not request.deployment_tag:
            return api_pb2.AppPublishResponse(url=self._url(app), deployed_at=0.0)
        if deployed and app.name != request.name and self.plane.apps.deployed(app.environment, request.name):
            conflict(f"App '{request.name}' is being deployed by someone else; deploy again.")
        deployment = Deployment(
            app.app_id,
            app.version + 1,
            layout,
            time.time(),
            self.username,
            self.account.client_version,
            request.deployment_tag,
            request.commit_info.SerializeToString(),
        )
        self._go_live(app, before, deployment, request.name if deployed else "", request.app_state)
        return api_pb2.AppPublishResponse(url=self._url(app), deployed_at=deployment.deployed_at)

    async def AppRollback(self, request: api_pb2.AppRollbackRequest) -> api_pb2.AppRollbackResponse:
        app = self.app(request.app_id)
        if app.state != api_pb2.APP_STATE_DEPLOYED:
            conflict(f"App '{app.description}' is not deployed.")
        version = request.version if request.version > 0 else app.version + request.version
        target = self.plane.apps.deployment(app.app_id, version)
        if target is None or version == app.version:
            not_found(f"App '{app.name}' has no earlier version v{version} to roll back to.")
        self._check_addresses(app, target.layout)
        deployment = Deployment(
            app.app_id,
            app.version + 1,
            target.layout,
            time.time(),
            self.username,
            target.client_version,
            target.tag,
            target.commit_info,
            rollback_version=version,
        )
        self._go_live(app, self.plane.apps.layout(app), deployment, app.name, app.state)
        return api_pb2.AppRollbackResponse(url=self._url(app), deployed_at=deployment.deployed_at)

    async def AppRollover(self, request: api_pb2.AppRolloverRequest) -> api_pb2.AppRolloverResponse:
        """The same deployment once more, with containers of its own: those that run end with what they run."""
        app = self.app(request.app_id)
        current = self.plane.apps.deployment(app.app_id, app.version)
        if app.state != api_pb2.APP_STATE_DEPLOYED or current is None:
            conflict(f"App '{app.description}' is not deployed.")
        deployment = replace(
            current, version=app.version + 1, deployed_at=time.time(), deployed_by=self.username, rollback_version=0
        )
        self.plane.scheduler.retire(current.layout.definitions.values())
        self._go_live(app, current.layout, deployment, app.name, app.state)
        return api_pb2.AppRolloverResponse(url=self._url(app), deployed_at=deployment.deployed_at)

    async def AppDeploymentHistory(
        self, request: api_pb2.AppDeploymentHistoryRequest
    ) -> api_pb2.AppDeploymentHistoryResponse:
        app = self.app(request.app_id)
        return api_pb2.AppDeploymentHistoryResponse(
            production_app_version=app.version,
            app_deployment_histories=[
                api_pb2.AppDeploymentHistory(
                    app_id=app.app_id,
                    version=entry.version,
                    client_version=entry.client_version,
                    deployed_at=entry.deployed_at,
                    deployed_by=entry.deployed_by,
                    tag=entry.tag,
                    rollback_version=entry.rollback_version,
                    rollback_allowed=entry.version != app.version,
                    commit_info=api_pb2.CommitInfo.FromString(entry.commit_info),
                )
                for entry in self.plane.apps.history(app.app_id)
            ],
        )

    async def AppList(self, request: api_pb2.AppListRequest) -> api_pb2.AppListResponse:
        return api_pb2.AppListResponse(
            apps=[
                api_pb2.AppListResponse.AppListItem(
                    app_id=app.app_id,
                    description=app.description,
                    state=app.state,  # type: ignore[arg-type]
                    created_at=app.created_at,
                    stopped_at=app.stopped_at,
                    n_running_tasks=len(self.plane.scheduler.active_tasks(app.app_id)),
                    name=app.name,
                )
                for app in self.plane.apps.all(self.environment(request.environment_name))
            ]
        )

    async def AppStop(self, request: api_pb2.AppStopRequest) -> Empty:
        await self._stop(self.app(request.app_id))
        return Empty()

    async def AppClientDisconnect(self, request: api_pb2.AppClientDisconnectRequest) -> Empty:
        app = self.app(request.app_id)
        if app.state in {api_pb2.APP_STATE_INITIALIZING, api_pb2.APP_STATE_EPHEMERAL}:
            await self._stop(app)
        return Empty()

    def start_ahead(self) -> None:
        """At the start of the control plane: the containers that functions and instances ask for ahead of inputs."""
        asked = set(self.plane.autoscalers.asking())
        for app in self.plane.apps.live():
            layout = self.plane.apps.layout(app)
            for function_id, definition_id in layout.definitions.items():
                settings = self.plane.functions.autoscaler(definition_id)
                if settings.min_containers or settings.buffer_containers:
                    asked.add(function_id)
        for function_id in asked:
            bound = self.plane.functions.resolve(function_id)
            try:
                if bound is not None:
                    self.plane.scheduler.scale(self.live_definition(bound), bound)
            except GRPCError as error:
                log.info("nothing is started ahead for %s: %s", function_id, error.message)

    async def _stop(self, app: App) -> None:
        self.plane.apps.set_state(app.app_id, api_pb2.APP_STATE_STOPPED)
        self.plane.addresses.changed()
        await self.plane.scheduler.stop_app(app.app_id)

    def _go_live(self, app: App, before: Layout, deployment: Deployment, name: str, state: int) -> None:
        self.plane.apps.publish(deployment, name, state)
        self.plane.addresses.changed()
        live = set(deployment.layout.definitions.values())
        self.plane.scheduler.retire(set(before.definitions.values()) - live)
        for function_id, definition_id in deployment.layout.definitions.items():
            if definition := self.plane.functions.definition(definition_id):
                if before.definitions.get(function_id) != definition_id:
                    self.plane.autoscalers.forget(function_id)
                prepared = Definition(definition_id, function_id, app.app_id, app.environment, definition)
                self.plane.scheduler.prepare(prepared, function_id)

    def _check_addresses(self, app: App, layout: Layout) -> None:
        """Refuse a deployment whose web endpoints can't all have their addresses."""
        definitions = {
            tag: self.plane.functions.definition(layout.definitions[id_]) for tag, id_ in layout.functions.items()
        }
        self.plane.addresses.check(app, {tag: found for tag, found in definitions.items() if found is not None})

    def _lifecycle(self, app: App) -> api_pb2.AppLifecycle:
        deployment = self.plane.apps.deployment(app.app_id, app.version)
        return api_pb2.AppLifecycle(
            app_state=app.state,  # type: ignore[arg-type]
            created_at=app.created_at,
            created_by=self.username,
            deployed_at=deployment.deployed_at if deployment else 0.0,
            deployed_by=deployment.deployed_by if deployment else "",
            version=app.version,
            stopped_at=app.stopped_at,
            stopped_by=self.username if app.stopped_at else "",
        )

    def _url(self, app: App) -> str:
        return f"{self.base_url}/apps/{app.environment}/{app.app_id}"
