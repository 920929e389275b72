"""A control plane that takes what Modal's own client sends when it builds and deploys, and records it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.unit.modal_app.server.control_plane import ControlPlane, handle, serve


class Recorder(ControlPlane):
    """Takes a deploy or a build, and keeps what was registered."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[api_pb2.FunctionCreateRequest] = []
        self.images: list[api_pb2.Image] = []
        self.files: set[str] = set()
        self.published: list[api_pb2.AppPublishRequest] = []
        self.secrets: dict[str, dict[str, str]] = {}
        """What each named Secret, and the nameless one of the class's own variables, was sent with; by id."""
        self.tags: dict[str, str] = {}
        """Ids of images, by the names that they were published under."""
        self.scaled: list[api_pb2.FunctionUpdateSchedulingParamsRequest] = []
        self.refused: frozenset[str] = frozenset()
        """RPCs that this control plane doesn't serve."""

    async def answer(self, name: str, request: Any, metadata: Any) -> Any:
        if name in self.refused:
            raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not served")
        return await super().answer(name, request, metadata)

    def on_AppGetByDeploymentName(self, _: Any) -> api_pb2.AppGetByDeploymentNameResponse:
        return api_pb2.AppGetByDeploymentNameResponse()

    def on_AppCreate(self, _: Any) -> api_pb2.AppCreateResponse:
        return api_pb2.AppCreateResponse(app_id="ap-1")

    def on_AppHeartbeat(self, _: Any) -> Empty:
        return Empty()

    def on_AppClientDisconnect(self, _: Any) -> Empty:
        return Empty()

    def on_EnvironmentGetOrCreate(self, _: Any) -> api_pb2.EnvironmentGetOrCreateResponse:
        settings = api_pb2.EnvironmentSettings(image_builder_version="2025.06")
        metadata = api_pb2.EnvironmentMetadata(name="main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-1", metadata=metadata)

    def on_FunctionPrecreate(self, _: Any) -> api_pb2.FunctionPrecreateResponse:
        return api_pb2.FunctionPrecreateResponse(function_id="fu-1", handle_metadata=handle())

    def on_FunctionCreate(self, request: api_pb2.FunctionCreateRequest) -> api_pb2.FunctionCreateResponse:
        self.functions.append(request)
        return api_pb2.FunctionCreateResponse(
            function_id="fu-1",
            function=request.function,
            handle_metadata=handle(),
            function_data=api_pb2.FunctionData(
                ranked_functions=[api_pb2.FunctionData.RankedFunction(function=request.function)]
            ),
        )

    def on_ClassCreate(self, _: Any) -> api_pb2.ClassCreateResponse:
        return api_pb2.ClassCreateResponse(class_id="cs-1", handle_metadata=api_pb2.ClassHandleMetadata())

    def on_ImageGetOrCreate(self, request: api_pb2.ImageGetOrCreateRequest) -> api_pb2.ImageGetOrCreateResponse:
        self.images.append(request.image)
        return api_pb2.ImageGetOrCreateResponse(
            image_id=f"im-{len(self.images)}",
            result=api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS),
            metadata=api_pb2.ImageMetadata(image_builder_version="2025.06"),
        )

    def on_MountBatchedCheckExistence(self, _: Any) -> api_pb2.MountBatchedCheckExistenceResponse:
        return api_pb2.MountBatchedCheckExistenceResponse()

    def on_MountPutFile(self, _: Any) -> api_pb2.MountPutFileResponse:
        return api_pb2.MountPutFileResponse(exists=True)

    def on_MountGetOrCreate(self, request: api_pb2.MountGetOrCreateRequest) -> api_pb2.MountGetOrCreateResponse:
        self.files.update(file.filename for file in request.files)
        return api_pb2.MountGetOrCreateResponse(mount_id="mo-1")

    def on_AppPublish(self, request: api_pb2.AppPublishRequest) -> api_pb2.AppPublishResponse:
        self.published.append(request)
        return api_pb2.AppPublishResponse(url="http://localhost/apps/ap-1")

    def on_AppGetOrCreate(self, _: Any) -> api_pb2.AppGetOrCreateResponse:
        return api_pb2.AppGetOrCreateResponse(app_id="ap-1")

    def on_SecretGetOrCreate(self, request: api_pb2.SecretGetOrCreateRequest) -> api_pb2.SecretGetOrCreateResponse:
        secret_id = f"st-{request.deployment_name}"
        self.secrets[secret_id] = dict(request.env_dict)
        return api_pb2.SecretGetOrCreateResponse(secret_id=secret_id)

    def on_ImagePublish(self, request: api_pb2.ImagePublishRequest) -> api_pb2.ImagePublishResponse:
        self.tags[request.tag] = request.image_id
        return api_pb2.ImagePublishResponse()

    def on_ImageGetByTag(self, request: api_pb2.ImageGetByTagRequest) -> api_pb2.ImageGetByTagResponse:
        if request.tag not in self.tags:
            raise GRPCError(Status.NOT_FOUND, f"Image {request.tag} not found")
        return api_pb2.ImageGetByTagResponse(image_id=self.tags[request.tag])

    def on_FunctionUpdateSchedulingParams(
        self, request: api_pb2.FunctionUpdateSchedulingParamsRequest
    ) -> api_pb2.FunctionUpdateSchedulingParamsResponse:
        self.scaled.append(request)
        return api_pb2.FunctionUpdateSchedulingParamsResponse(current_settings=request.settings)

    def definition(self, name: str = "Executor") -> api_pb2.Function:
        """Of one class, as it was registered."""
        (found,) = (each.function for each in self.functions if each.function.function_name == f"{name}.*")
        return found

    @property
    def image_lines(self) -> str:
        """The lines of all layers that were to be built, as in Dockerfiles."""
        return "\n".join(line for image in self.images for line in image.dockerfile_commands)

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs `python -m …` connected to this control plane, with CUSTOM_BLOCKS_<SETTING> set."""
        environment = {
            "MODAL_SERVER_URL": self.url,
            "MODAL_TOKEN_ID": self.credentials[0],
            "MODAL_TOKEN_SECRET": self.credentials[1],
            "CUSTOM_BLOCKS_TORCH": "cpu",
            **{f"CUSTOM_BLOCKS_{name.upper()}": value for name, value in settings.items()},
            "PYTHONPATH": ":".join(sys.path),
            "HOME": "/nowhere",
        }
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def deploy(self, **settings: str) -> None:
        """Deploys the app by Modal's own command."""
        done = self.run("modal", "deploy", "-m", "modal_app.app", **settings)
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def recorder() -> Iterator[Recorder]:
    """One that serves, till the end of the context."""
    plane = Recorder()
    end = serve(plane)
    try:
        yield plane
    finally:
        end()
