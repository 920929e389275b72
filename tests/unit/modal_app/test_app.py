"""What Modal's own client registers when the app is deployed, recorded by the control plane that it deploys to."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import modal
import pytest
from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2

from modal_app.settings import INFERENCE_VERSION, UV_VERSION
from tests.unit.modal_app.server.control_plane import ControlPlane, handle, serve

CBOR, PICKLE = api_pb2.DATA_FORMAT_CBOR, api_pb2.DATA_FORMAT_PICKLE


class Recorder(ControlPlane):
    """Takes a deploy, and keeps what was registered."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[api_pb2.FunctionCreateRequest] = []
        self.images: list[api_pb2.Image] = []
        self.files: set[str] = set()
        self.published: list[api_pb2.AppPublishRequest] = []

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


@pytest.fixture(scope="module")
def deployed() -> Iterator[Recorder]:
    """The app, deployed by `modal deploy -m modal_app.app` in a process of its own."""
    recorder = Recorder()
    end = serve(recorder)
    environment = {
        "MODAL_SERVER_URL": recorder.url,
        "MODAL_TOKEN_ID": recorder.credentials[0],
        "MODAL_TOKEN_SECRET": recorder.credentials[1],
        "CUSTOM_BLOCKS_TORCH": "cpu",
        "PYTHONPATH": ":".join(sys.path),
        "HOME": "/nowhere",
    }
    command = [sys.executable, "-m", "modal", "deploy", "-m", "modal_app.app"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        yield recorder
    finally:
        end()


def test_one_app_with_one_class(deployed: Recorder) -> None:
    assert [request.name for request in deployed.published] == ["inference-custom-blocks"]
    assert [request.function.function_name for request in deployed.functions] == ["Executor.*"]


EXPECTED: dict[str, Any] = {
    "module_name": "modal_app.app",
    "is_class": True,
    "single_use_containers": True,
    "timeout_secs": 20,
    "startup_timeout_secs": 300,
    "task_idle_timeout_secs": 30,
    "checkpointing_enabled": True,
    "untrusted": True,
    "method_definitions_set": True,
}


@pytest.mark.parametrize("field", EXPECTED)
def test_the_class_is_registered_with(field: str, deployed: Recorder) -> None:
    assert getattr(deployed.functions[0].function, field) == EXPECTED[field]


def test_it_runs_in_iowa(deployed: Recorder) -> None:
    assert list(deployed.functions[0].function.scheduler_placement.regions) == ["us-central1"]


def test_the_workspace_is_its_one_parameter(deployed: Recorder) -> None:
    info = deployed.functions[0].function.class_parameter_info
    assert info.format == api_pb2.ClassParameterInfo.PARAM_SERIALIZATION_FORMAT_PROTO
    assert [(item.name, item.type, item.has_default) for item in info.schema] == [
        ("workspace_id", api_pb2.PARAM_TYPE_STRING, False)
    ]


def test_inputs_may_be_pickled_and_outputs_may_not(deployed: Recorder) -> None:
    methods = deployed.functions[0].function.method_definitions
    assert set(methods) == {"execute", "validate"}
    for method in methods.values():
        assert PICKLE in method.supported_input_formats
        assert list(method.supported_output_formats) == [CBOR]


def test_the_image_is_debian_with_cv2s_libraries_and_the_servers_inference(deployed: Recorder) -> None:
    lines = "\n".join(line for image in deployed.images for line in image.dockerfile_commands)
    assert re.search(r"^FROM python:3\.11(\.\d+)?-slim-", lines, re.MULTILINE)
    assert "apt-get install -y libgl1 libglib2.0-0" in lines
    assert f"inference-cpu=={INFERENCE_VERSION}" in lines
    assert f"uv:{UV_VERSION} " in lines
    assert "--compile-bytecode" in lines
    assert "--torch-backend=cpu" in lines
    assert "ENV OMP_NUM_THREADS=1" in lines
    assert "ENV DISABLE_VERSION_CHECK=True" in lines


def test_the_container_gets_the_source_of_its_own_side_only(deployed: Recorder) -> None:
    sent = {name for name in deployed.files if "modal_app" in name}
    assert {"/root/modal_app/app.py", "/root/modal_app/sandbox/runner.py", "/root/modal_app/contract/codec.py"} <= sent
    assert not any(part in name for name in sent for part in ("/server/", "/smoke/", "/build.py"))
    assert all(name.endswith(".py") for name in sent)
    assert not any("tests" in name or "local_modal" in name for name in deployed.files)


def test_deploying_imports_nothing_of_inference() -> None:
    script = (
        "import sys, modal_app.app\n"
        "found = [name for name in sys.modules if name.split('.')[0] in "
        "('inference', 'roboflow_workflows', 'torch', 'numpy', 'cv2')]\n"
        "assert not found, found"
    )
    environment = {"CUSTOM_BLOCKS_TORCH": "default", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_class_is_what_the_server_looks_up() -> None:
    from modal_app import app as module  # noqa: PLC0415 - importing it decides about torch
    from modal_app.settings import APP_NAME, EXECUTOR_CLASS  # noqa: PLC0415

    assert module.app.name == APP_NAME
    assert isinstance(getattr(module, EXECUTOR_CLASS), modal.Cls)
