"""Environments, and the roles of service users in them."""

import sqlite3

import google.protobuf.empty_pb2
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from local_modal.ids import derived_id
from local_modal.rpc.access import ROLES, Level
from local_modal.rpc.service import IMAGE_BUILDER_VERSION, Service, conflict, invalid, not_found
from local_modal.store.environments import Environment

Empty = google.protobuf.empty_pb2.Empty


class EnvironmentService(Service):
    """The environments of the workspace."""

    async def EnvironmentGetOrCreate(
        self, request: api_pb2.EnvironmentGetOrCreateRequest
    ) -> api_pb2.EnvironmentGetOrCreateResponse:
        name = request.deployment_name or self.plane.settings.environment
        environment = self.plane.environments.get(name)
        if environment is None:
            if request.object_creation_type != api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
                self.environment(name)
            if self.in_container or self.account.service_user:
                raise GRPCError(Status.PERMISSION_DENIED, "only the workspace's owner makes environments")
            environment = self.plane.environments.create(name)
        self.authorise(environment.name)
        return api_pb2.EnvironmentGetOrCreateResponse(
            environment_id=environment.environment_id,
            metadata=api_pb2.EnvironmentMetadata(name=environment.name, settings=self._settings(environment)),
        )

    async def EnvironmentCreate(self, request: api_pb2.EnvironmentCreateRequest) -> Empty:
        try:
            role = request.default_member_role_str or "contributor"
            self.plane.environments.create(request.name, restricted=request.is_managed, default_role=role)
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
                    is_managed=bool(environment.restricted),
                    image_builder_version=IMAGE_BUILDER_VERSION,
                )
                for environment in self.plane.environments.all()
                if self.account.level_in(environment.name) >= Level.VIEWER
            ]
        )

    async def EnvironmentUpdate(self, request: api_pb2.EnvironmentUpdateRequest) -> api_pb2.EnvironmentListItem:
        name = self.environment(request.current_name)
        self.plane.addresses.changed()
        if request.HasField("web_suffix"):
            suffix = request.web_suffix.value
            if any(other.web_suffix == suffix and other.name != name for other in self.plane.environments.all()):
                conflict(f"Another environment's web suffix is '{suffix}' already.")
            self.plane.environments.set_web_suffix(name, suffix)
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
        self.plane.addresses.changed()
        return Empty()

    def _settings(self, environment: Environment) -> api_pb2.EnvironmentSettings:
        return api_pb2.EnvironmentSettings(
            image_builder_version=IMAGE_BUILDER_VERSION, webhook_suffix=environment.web_suffix
        )

    async def EnvironmentGetRoles(
        self, request: api_pb2.EnvironmentGetRolesRequest
    ) -> api_pb2.EnvironmentGetRolesResponse:
        environment = self._by_id(request.environment_id)
        owner = self.plane.settings.workspace
        response = api_pb2.EnvironmentGetRolesResponse(name=environment.name, created_at=environment.created_at)
        response.principal_roles.add(user_id=derived_id("us", owner), user_name=owner, role_str="contributor")
        for user in self.plane.service_users.all():
            role = self.plane.service_users.roles(user.service_user_id).get(environment.environment_id)
            response.principal_roles.add(
                service_user_id=user.service_user_id,
                service_user_name=user.name,
                role_str=role or "no-access",
                has_role_assignment=role is not None,
            )
        return response

    async def EnvironmentRoleSet(self, request: api_pb2.EnvironmentRoleSetRequest) -> Empty:
        if request.environment_id:
            environment = self._by_id(request.environment_id)
        else:
            environment = self.plane.environments.get(self.environment(request.environment_name)) or not_found("")
        if request.user_id:
            invalid("local Modal has one member, its owner, who needs no role")
        users = self.plane.service_users
        user = users.find(name=request.service_user_name, service_user_id=request.service_user_id)
        if user is None:
            not_found(f"Service user '{request.service_user_name or request.service_user_id}' not found.")
        if request.role_str and request.role_str not in ROLES:
            invalid(f"'{request.role_str}' is no role; roles are {', '.join(ROLES)}")
        users.set_role(user.service_user_id, environment.environment_id, request.role_str)
        return Empty()

    def _by_id(self, environment_id: str) -> Environment:
        return self.plane.environments.by_id(environment_id) or not_found(f"Environment '{environment_id}' not found.")
