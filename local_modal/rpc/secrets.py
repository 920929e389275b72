"""Secrets: create, overwrite, list, update, delete. Values go to containers only, never back to a client."""

import google.protobuf.empty_pb2
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from local_modal.rpc.service import Service, invalid, not_found
from local_modal.store.secrets import Secret

Empty = google.protobuf.empty_pb2.Empty
EXISTING_ONLY = api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED


class SecretService(Service):
    """The account's secrets."""

    async def SecretGetOrCreate(self, request: api_pb2.SecretGetOrCreateRequest) -> api_pb2.SecretGetOrCreateResponse:
        environment = self._environment_of(request)
        kind, name = request.object_creation_type, request.deployment_name
        found = self.plane.secrets.find(environment, name) if name else None
        if kind == EXISTING_ONLY:
            secret = found or not_found(f"Secret '{name}' not found in environment '{environment}'.")
        elif found and kind == api_pb2.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS:
            raise GRPCError(Status.ALREADY_EXISTS, f"Secret '{name}' already exists in environment '{environment}'.")
        elif found and kind == api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
            secret = found
        else:
            secret = self.plane.secrets.put(environment, name, dict(request.env_dict))
            self.plane.scheduler.secret_changed(secret.secret_id)
        if missing := sorted(set(request.required_keys) - set(secret.keys)):
            invalid(f"Secret '{name}' is missing key(s): {', '.join(missing)}")
        return api_pb2.SecretGetOrCreateResponse(secret_id=secret.secret_id, metadata=self._metadata(secret))

    async def SecretList(self, request: api_pb2.SecretListRequest) -> api_pb2.SecretListResponse:
        environment = self.environment(request.environment_name)
        before = request.pagination.created_before or float("inf")
        found = sorted(self.plane.secrets.named(environment), key=lambda secret: -secret.created_at)
        found = [secret for secret in found if secret.created_at < before]
        if request.pagination.max_objects:
            found = found[: request.pagination.max_objects]
        return api_pb2.SecretListResponse(
            environment_name=environment,
            items=[
                api_pb2.SecretListItem(
                    label=secret.name,
                    created_at=secret.created_at,
                    last_used_at=secret.last_used_at,
                    environment_name=environment,
                    secret_id=secret.secret_id,
                    metadata=self._metadata(secret),
                )
                for secret in found
            ],
        )

    async def SecretGetInfo(self, request: api_pb2.SecretGetInfoRequest) -> api_pb2.SecretGetInfoResponse:
        return api_pb2.SecretGetInfoResponse(metadata=self._metadata(self._secret(request.secret_id)))

    async def SecretUpdate(self, request: api_pb2.SecretUpdateRequest) -> Empty:
        secret = self._secret(request.secret_id)
        values = self.plane.secrets.values(secret.secret_id) or {}
        for update in request.updates:
            if update.HasField("value"):
                values[update.key] = update.value
            else:
                values.pop(update.key, None)
        self.plane.secrets.put(secret.environment, secret.name, values)
        self.plane.scheduler.secret_changed(secret.secret_id)
        return Empty()

    async def SecretDelete(self, request: api_pb2.SecretDeleteRequest) -> Empty:
        self.plane.secrets.delete(self._secret(request.secret_id).secret_id)
        return Empty()

    def _environment_of(self, request: api_pb2.SecretGetOrCreateRequest) -> str:
        if request.app_id and not request.environment_name:
            return self.app(request.app_id).environment
        return self.environment(request.environment_name)

    def _secret(self, secret_id: str) -> Secret:
        secret = self.plane.secrets.get(secret_id) or not_found(f"Secret '{secret_id}' not found.")
        self.authorise(secret.environment)
        return secret

    def _metadata(self, secret: Secret) -> api_pb2.SecretMetadata:
        return api_pb2.SecretMetadata(
            name="" if secret.name == secret.secret_id else secret.name,
            creation_info=api_pb2.CreationInfo(created_at=secret.created_at, created_by=self.username),
            keys=secret.keys,
            environment_name=secret.environment,
            last_used_at=secret.last_used_at,
        )
