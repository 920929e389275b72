"""Service users and proxy tokens: made, listed, given environments, deleted."""

import re
import sqlite3

import google.protobuf.empty_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from local_modal.ids import derived_id
from local_modal.rpc.service import Service, invalid, not_found
from local_modal.store.principals import ProxyToken, ServiceUser

Empty = google.protobuf.empty_pb2.Empty
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ServiceUserService(Service):
    """Users that are no people: a job, a server."""

    async def ServiceUserCreate(self, request: api_pb2.ServiceUserCreateRequest) -> api_pb2.ServiceUserCreateResponse:
        if not NAME.fullmatch(request.name):
            invalid(f"'{request.name[:80]}' is no name of a service user: letters, digits, - and _, 64 at most")
        try:
            drawn = self.plane.service_users.create(request.name, request.expires_in_seconds)
        except sqlite3.IntegrityError:
            raise GRPCError(Status.ALREADY_EXISTS, f"Service user '{request.name}' already exists.") from None
        response = api_pb2.ServiceUserCreateResponse(
            token_id=drawn.token_id, token_secret=drawn.token_secret, service_user_id=drawn.owner_id
        )
        if drawn.expires_at:
            response.expires_at.CopyFrom(Timestamp(seconds=int(drawn.expires_at)))
        return response

    async def ServiceUserList(self, _request: Empty) -> api_pb2.ServiceUserListResponse:
        return api_pb2.ServiceUserListResponse(
            service_users=[self._message(user) for user in self.plane.service_users.all()]
        )

    async def ServiceUserInfo(self, request: api_pb2.ServiceUserInfoRequest) -> api_pb2.ServiceUserInfoResponse:
        user = self.plane.service_users.find(name=request.service_user_name)
        if user is None:
            not_found(f"Service user '{request.service_user_name}' not found.")
        return api_pb2.ServiceUserInfoResponse(service_user=self._message(user))

    async def ServiceUserDelete(self, request: api_pb2.ServiceUserDeleteRequest) -> Empty:
        users = self.plane.service_users
        user = users.find(name=request.service_user_name, service_user_id=request.service_user_id)
        if user is None:
            not_found(f"Service user '{request.service_user_name or request.service_user_id}' not found.")
        users.delete(user.service_user_id)
        return Empty()

    def _message(self, user: ServiceUser) -> api_pb2.ServiceUser:
        names = {environment.environment_id: environment.name for environment in self.plane.environments.all()}
        message = api_pb2.ServiceUser(
            name=user.name,
            token_id=user.token_id,
            created_by=self.plane.settings.workspace,
            created_at=user.created_at,
            last_used_at=user.last_used_at,
            service_user_id=user.service_user_id,
            status="expired" if user.expired else "active",
            environment_roles=[
                api_pb2.ServiceUser.EnvironmentRoleEntry(
                    environment_id=environment_id, environment_name=names[environment_id], role_str=role
                )
                for environment_id, role in self.plane.service_users.roles(user.service_user_id).items()
            ],
        )
        if user.expires_at:
            message.expires_at = user.expires_at
        return message


class ProxyTokenService(Service):
    """Tokens for web endpoints."""

    async def WebhookTokenCreate(self, request: api_pb2.WebhookTokenCreateRequest) -> api_pb2.TokenCreateResponse:
        drawn = self.plane.proxy_tokens.create(request.name, scoped=request.scoped)
        return api_pb2.TokenCreateResponse(token_id=drawn.token_id, token_secret=drawn.token_secret)

    async def WebhookTokenUpdate(self, request: api_pb2.WebhookTokenUpdateRequest) -> api_pb2.WebhookToken:
        token = self._token(request.token_id)
        if request.HasField("name"):
            self.plane.proxy_tokens.rename(token.token_id, request.name)
        return self._message(self._token(token.token_id))

    async def WebhookTokenList(self, _request: Empty) -> api_pb2.WebhookTokenListResponse:
        return api_pb2.WebhookTokenListResponse(tokens=map(self._message, self.plane.proxy_tokens.all()))

    async def WebhookTokenListForEnvironment(
        self, request: api_pb2.WebhookTokenListForEnvironmentRequest
    ) -> api_pb2.WebhookTokenListResponse:
        name = self.environment(request.environment_name)
        environment = self.plane.environments.get(name) or not_found(f"Environment '{name}' not found.")
        tokens = self.plane.proxy_tokens.of_environment(environment.environment_id)
        return api_pb2.WebhookTokenListResponse(tokens=map(self._message, tokens))

    async def WebhookTokenEnvironmentList(
        self, request: api_pb2.WebhookTokenEnvironmentListRequest
    ) -> api_pb2.WebhookTokenEnvironmentListResponse:
        token = self._token(request.token_id)
        return api_pb2.WebhookTokenEnvironmentListResponse(
            environment_ids=self.plane.proxy_tokens.environments(token.token_id)
        )

    async def WebhookTokenEnvironmentAdd(self, request: api_pb2.WebhookTokenEnvironmentAddRequest) -> Empty:
        token = self._token(request.token_id)
        if self.plane.environments.by_id(request.environment_id) is None:
            not_found(f"Environment '{request.environment_id}' not found.")
        self.plane.proxy_tokens.allow(token.token_id, request.environment_id)
        return Empty()

    async def WebhookTokenEnvironmentRemove(self, request: api_pb2.WebhookTokenEnvironmentRemoveRequest) -> Empty:
        self.plane.proxy_tokens.revoke(self._token(request.token_id).token_id, request.environment_id)
        return Empty()

    async def WebhookTokenDelete(self, request: api_pb2.TokenDeleteRequest) -> Empty:
        self.plane.proxy_tokens.delete(self._token(request.token_id).token_id)
        return Empty()

    def _token(self, token_id: str) -> ProxyToken:
        return self.plane.proxy_tokens.get(token_id) or not_found(f"Proxy token '{token_id}' not found.")

    def _message(self, token: ProxyToken) -> api_pb2.WebhookToken:
        owner = self.plane.settings.workspace
        return api_pb2.WebhookToken(
            token_id=token.token_id,
            created_at=token.created_at,
            scoped=bool(token.scoped),
            name=token.name,
            created_by=api_pb2.UserIdentity(user_id=derived_id("us", owner), username=owner),
        )
