"""The account: greeting, token, workspace; and environments."""

import sqlite3

import google.protobuf.empty_pb2
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from local_modal.ids import derived_id
from local_modal.rpc.service import IMAGE_BUILDER_VERSION, Service, conflict, not_found
from local_modal.store.environments import Environment

Empty = google.protobuf.empty_pb2.Empty


class WorkspaceService(Service):
    """Who the caller is, and the environments of the workspace."""

    async def ClientHello(self, _request: Empty) -> api_pb2.ClientHelloResponse:
        return api_pb2.ClientHelloResponse(image_builder_version=IMAGE_BUILDER_VERSION)

    async def TokenInfoGet(self, _request: api_pb2.TokenInfoGetRequest) -> api_pb2.TokenInfoGetResponse:
        name = self.plane.settings.workspace
        return api_pb2.TokenInfoGetResponse(
            token_id=self.account.token_id,
            workspace_id=derived_id("ac", name),
            workspace_name=name,
            user_identity=api_pb2.UserIdentity(user_id=derived_id("us", name), username=self.username),
        )

    async def WorkspaceNameLookup(self, _request: Empty) -> api_pb2.WorkspaceNameLookupResponse:
        return api_pb2.WorkspaceNameLookupResponse(workspace_name=self.plane.settings.workspace, username=self.username)

    async def EnvironmentGetOrCreate(
        self, request: api_pb2.EnvironmentGetOrCreateRequest
    ) -> api_pb2.EnvironmentGetOrCreateResponse:
        name = request.deployment_name or self.plane.settings.environment
        environment = self.plane.environments.get(name)
        if environment is None:
            if request.object_creation_type != api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
                self.environment(name)
            environment = self.plane.environments.create(name)
        return api_pb2.EnvironmentGetOrCreateResponse(
            environment_id=environment.environment_id,
            metadata=api_pb2.EnvironmentMetadata(name=environment.name, settings=self._settings(environment)),
        )

    async def EnvironmentCreate(self, request: api_pb2.EnvironmentCreateRequest) -> Empty:
        try:
            self.plane.environments.create(request.name)
        except sqlite3.IntegrityError:
            raise GRPCError(Status.ALREADY_EXISTS, f"Environment '{request.name}' already exists.") from None
        return Empty()

    async def EnvironmentList(self, _request: Empty) -> api_pb2.EnvironmentListResponse:
        return api_pb2.EnvironmentListResponse(
            items=[
                api_pb2.EnvironmentListItem(
                    name=environment.name,
                    webhook_suffix=environment.web_suffix,
                    created_at=environment.created_at,
                    default=environment.name == self.plane.settings.environment,
                    environment_id=environment.environment_id,
                    image_builder_version=IMAGE_BUILDER_VERSION,
                )
                for environment in self.plane.environments.all()
            ]
        )

    async def EnvironmentUpdate(self, request: api_pb2.EnvironmentUpdateRequest) -> api_pb2.EnvironmentListItem:
        name = self.environment(request.current_name)
        if request.HasField("web_suffix"):
            self.plane.environments.set_web_suffix(name, request.web_suffix.value)
        if request.HasField("name") and request.name.value != name:
            try:
                self.plane.environments.rename(name, request.name.value)
            except sqlite3.IntegrityError:
                raise GRPCError(Status.ALREADY_EXISTS, f"Environment '{request.name.value}' already exists.") from None
            name = request.name.value
        environment = self.plane.environments.get(name) or not_found(f"Environment '{name}' not found.")
        return api_pb2.EnvironmentListItem(
            name=environment.name, webhook_suffix=environment.web_suffix, environment_id=environment.environment_id
        )

    async def EnvironmentDelete(self, request: api_pb2.EnvironmentDeleteRequest) -> Empty:
        name = self.environment(request.name)
        if name == self.plane.settings.environment:
            conflict(f"Environment '{name}' is the default one and can't be deleted.")
        for app in self.plane.apps.all(name):
            if app.state != api_pb2.APP_STATE_STOPPED:
                self.plane.apps.set_state(app.app_id, api_pb2.APP_STATE_STOPPED)
                await self.plane.scheduler.stop_app(app.app_id)
        self.plane.environments.delete(name)
        return Empty()

    def _settings(self, environment: Environment) -> api_pb2.EnvironmentSettings:
        return api_pb2.EnvironmentSettings(
            image_builder_version=IMAGE_BUILDER_VERSION, webhook_suffix=environment.web_suffix
        )
