"""The account: greeting, token, workspace."""

from typing import Any

import google.protobuf.empty_pb2
from modal_proto import api_pb2

from local_modal.ids import derived_id
from local_modal.rpc.service import IMAGE_BUILDER_VERSION, Service

Empty = google.protobuf.empty_pb2.Empty


class WorkspaceService(Service):
    """Who the caller is."""

    async def ClientHello(self, _request: Empty) -> api_pb2.ClientHelloResponse:
        return api_pb2.ClientHelloResponse(image_builder_version=IMAGE_BUILDER_VERSION)

    async def TokenInfoGet(self, _request: api_pb2.TokenInfoGetRequest) -> api_pb2.TokenInfoGetResponse:
        name = self.plane.settings.workspace
        return api_pb2.TokenInfoGetResponse(
            token_id=self.account.token_id,
            workspace_id=derived_id("ac", name),
            workspace_name=name,
            **self._identity(),
        )

    def _identity(self) -> dict[str, Any]:
        name = self.plane.settings.workspace
        owner = api_pb2.UserIdentity(user_id=derived_id("us", name), username=name)
        user = self.account.service_user
        if user is None:
            return {"user_identity": owner}
        return {
            "service_user_identity": api_pb2.ServiceUserIdentity(
                service_user_id=user.service_user_id, service_user_name=user.name, created_by=owner
            )
        }

    async def WorkspaceNameLookup(self, _request: Empty) -> api_pb2.WorkspaceNameLookupResponse:
        return api_pb2.WorkspaceNameLookupResponse(workspace_name=self.plane.settings.workspace, username=self.username)
