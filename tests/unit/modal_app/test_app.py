"""What Modal's own client registers when the app is deployed, recorded by the control plane that it deploys to."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import modal
import pytest
from modal_proto import api_pb2

from modal_app.image import SOURCE_NOT_NEEDED
from modal_app.settings import INFERENCE_VERSION, UV_VERSION, AppSettings
from tests.unit.modal_app.recorder import Recorder, recorder

CBOR, PICKLE = api_pb2.DATA_FORMAT_CBOR, api_pb2.DATA_FORMAT_PICKLE


@pytest.fixture(scope="module")
def deployed() -> Iterator[Recorder]:
    """The app, deployed by `modal deploy -m modal_app.app` in a process of its own."""
    with recorder() as plane:
        plane.deploy()
        yield plane


CLASSES = ("Executor", "Gateway", "Session")


def test_one_app_with_its_classes(deployed: Recorder) -> None:
    assert [request.name for request in deployed.published] == ["inference-custom-blocks"]
    assert sorted(request.function.function_name for request in deployed.functions) == [f"{cls}.*" for cls in CLASSES]


EXPECTED: dict[str, Any] = {
    "module_name": "modal_app.app",
    "is_class": True,
    "single_use_containers": True,
    "timeout_secs": 20,
    "startup_timeout_secs": 300,
    "task_idle_timeout_secs": 30,
    "checkpointing_enabled": True,
    "block_network": True,
    "untrusted": True,
    "method_definitions_set": True,
}


@pytest.mark.parametrize("field", EXPECTED)
def test_the_class_is_registered_with(field: str, deployed: Recorder) -> None:
    assert getattr(deployed.definition(), field) == EXPECTED[field]


def test_it_runs_in_iowa(deployed: Recorder) -> None:
    assert list(deployed.definition().scheduler_placement.regions) == ["us-central1"]


def test_what_no_setting_says_is_left_to_modal(deployed: Recorder) -> None:
    function = deployed.definition()
    assert function.resources == api_pb2.Resources(gpu_config=function.resources.gpu_config)
    assert function.autoscaler_settings == api_pb2.AutoscalerSettings(scaledown_window=30)
    assert not function.cloud_provider_str
    assert not function.routing_region
    assert not function.secret_ids


@dataclass(frozen=True)
class Changed:
    """A setting: its variable's text, where the definition holds it, and what it holds then."""

    setting: str
    text: str
    read: Callable[[Recorder, api_pb2.Function], Any]
    expected: Any


CHANGES = (
    Changed("timeout_seconds", "41", lambda _, f: f.timeout_secs, 41),
    Changed("startup_timeout_seconds", "42", lambda _, f: f.startup_timeout_secs, 42),
    Changed("scaledown_window_seconds", "43", lambda _, f: f.autoscaler_settings.scaledown_window, 43),
    Changed("buffer_containers", "4", lambda _, f: f.autoscaler_settings.buffer_containers, 4),
    Changed("max_containers", "45", lambda _, f: f.autoscaler_settings.max_containers, 45),
    Changed("memory_mib", "2046", lambda _, f: (f.resources.memory_mb, f.resources.memory_mb_max), (2046, 2046)),
    Changed("cpu", "0.5", lambda _, f: (f.resources.milli_cpu, f.resources.milli_cpu_max), (500, 500)),
    Changed("region", "eu", lambda _, f: list(f.scheduler_placement.regions), ["eu"]),
    Changed("cloud", "gcp", lambda _, f: f.cloud_provider_str, "gcp"),
    Changed("routing_region", "eu-west", lambda _, f: f.routing_region, "eu-west"),
    Changed("network", "egress", lambda _, f: f.block_network, False),
    Changed("secrets", "b, a", lambda _, f: list(f.secret_ids), ["st-b", "st-a", "st-"]),
    Changed(
        "packages",
        "shapely==2.1.2,moto[s3,ec2]==5.1.0",
        lambda r, _: (
            "--compile-bytecode --torch-backend=cpu inference-cpu==1.8.2 'moto[s3,ec2]==5.1.0' shapely==2.1.2"
            in r.image_lines
        ),
        True,
    ),
    Changed(
        "inference_version", "1.8.2", lambda r, _: set(re.findall(r"inference-cpu==(\S+)", r.image_lines)), {"1.8.2"}
    ),
    Changed("torch", "cpu", lambda r, _: "--torch-backend=cpu" in r.image_lines, True),
)
ELSEWHERE = {"image_tag", "warm_workspaces"}
"""An image by name replaces the one described above; workspaces are warmed after a deploy (see test_warm)."""


@pytest.fixture(scope="module")
def changed() -> Iterator[Recorder]:
    """The app, deployed with every setting changed."""
    with recorder() as plane:
        plane.deploy(**{change.setting: change.text for change in CHANGES})
        yield plane


def test_the_changes_below_are_of_all_settings() -> None:
    assert {change.setting for change in CHANGES} | ELSEWHERE == {field.name for field in fields(AppSettings)}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.setting)
def test_a_setting_reaches_the_definition(change: Changed, changed: Recorder) -> None:
    assert change.read(changed, changed.definition()) == change.expected


def test_torch_of_the_default_index() -> None:
    with recorder() as plane:
        plane.deploy(torch="default")
        assert "torch-backend" not in plane.image_lines


def test_packages_for_blocks_are_a_layer_on_top(changed: Recorder) -> None:
    installing = {line: None for line in changed.image_lines.splitlines() if "/uv pip install" in line}
    of_inference, of_blocks = (line for line in installing if "inference" in line)
    assert "shapely" not in of_inference
    assert "shapely" in of_blocks


def test_a_published_image_is_used_as_it_is() -> None:
    with recorder() as plane:
        plane.tags["staging/custom-blocks:v1"] = "im-published"
        plane.deploy(image_tag="staging/custom-blocks:v1", packages="shapely==2.1.2")
        assert {plane.definition(cls).image_id for cls in ("Executor", "Session")} == {"im-published"}
        assert "inference" not in plane.image_lines
        assert "/root/modal_app/app.py" in plane.files


def test_an_image_that_was_not_published_stops_the_deploy() -> None:
    with recorder() as plane:
        done = plane.run("modal", "deploy", "-m", "modal_app.app", image_tag="custom-blocks:v1")
        assert done.returncode == 1
        assert "custom-blocks:v1 not found" in done.stdout + done.stderr
        assert plane.published == []


def test_wrong_settings_are_named_before_anything_is_sent() -> None:
    with recorder() as plane:
        done = plane.run("modal", "deploy", "-m", "modal_app.app", cpu="many", network="all")
        assert done.returncode == 1
        assert "CUSTOM_BLOCKS_CPU='many' must be" in done.stderr
        assert "CUSTOM_BLOCKS_NETWORK='all' must be one of none, egress" in done.stderr
        assert plane.calls == []


IN_CONTAINER = """
import sys
import modal
modal.is_local = lambda: False
import modal_app.app
from modal._utils.async_utils import synchronizer
function = synchronizer._translate_in(getattr(modal_app.app, sys.argv[1]))._get_class_service_function()
print(len(function._deps_(only_explicit_mounts=True)))
"""


DEPENDENCIES = {"Executor": (1, 4), "Gateway": (2, 2), "Session": (2, 4)}
"""An image, Secrets named in the settings, and variables of the class's own; without such Secrets and with two."""


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("named", ["", "b, a"])
def test_a_container_finds_the_class_depending_on_what_it_was_deployed_with(named: str, cls: str) -> None:
    """Modal's runner refuses to start it otherwise. Whatever else its Secrets hold, they don't break it."""
    with recorder() as plane:
        plane.deploy(**({"secrets": named} if named else {}))
    deployed = plane.definition(cls)
    values: dict[str, str] = {"CUSTOM_BLOCKS_TIMEOUT_SECONDS": "no number", "CUSTOM_BLOCKS_CANARY": "yes"}
    for secret_id in deployed.secret_ids:
        values |= plane.secrets[secret_id]
    command = [sys.executable, "-c", IN_CONTAINER, cls]
    environment = {"PYTHONPATH": ":".join(sys.path), **values}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(deployed.object_dependencies) == DEPENDENCIES[cls][bool(named)]


def test_the_workspace_is_its_one_parameter(deployed: Recorder) -> None:
    info = deployed.definition().class_parameter_info
    assert info.format == api_pb2.ClassParameterInfo.PARAM_SERIALIZATION_FORMAT_PROTO
    assert [(item.name, item.type, item.has_default) for item in info.schema] == [
        ("workspace_id", api_pb2.PARAM_TYPE_STRING, False)
    ]


def test_inputs_may_be_pickled_and_outputs_may_not(deployed: Recorder) -> None:
    methods = deployed.definition().method_definitions
    assert set(methods) == {"execute", "execute_wire", "validate"}
    for method in methods.values():
        assert PICKLE in method.supported_input_formats
        assert list(method.supported_output_formats) == [CBOR]


DOORS: dict[str, dict[str, Any]] = {
    "Gateway": {"untrusted": False, "single_use_containers": False, "timeout_secs": 980, "target_concurrent_inputs": 0},
    "Session": {"untrusted": True, "single_use_containers": True, "timeout_secs": 680, "block_network": True},
}


@pytest.mark.parametrize("cls", DOORS)
def test_a_door_is_registered_with(cls: str, deployed: Recorder) -> None:
    door = deployed.definition(cls)
    assert {name: getattr(door, name) for name in DOORS[cls]} == DOORS[cls]
    assert door.checkpointing_enabled


def test_every_endpoint_asks_for_a_proxy_token_and_speaks_asgi(deployed: Recorder) -> None:
    found = {
        f"{cls}.{name}": method.webhook_config
        for cls in CLASSES
        for name, method in deployed.definition(cls).method_definitions.items()
        if method.webhook_config.type
    }
    assert set(found) == {"Gateway.execute_block", "Gateway.wsapp", "Session.wsapp"}
    assert {config.type for config in found.values()} == {api_pb2.WEBHOOK_TYPE_ASGI_APP}
    assert all(config.requires_proxy_auth for config in found.values())


def test_the_gateway_serves_many_and_has_no_secret_of_the_blocks(changed: Recorder) -> None:
    gateway = changed.definition("Gateway")
    assert gateway.max_concurrent_inputs == 100
    assert list(gateway.secret_ids) == ["st-"]


def test_the_gateways_image_holds_no_inference(deployed: Recorder) -> None:
    installing = [line for line in deployed.image_lines.splitlines() if "requirements.gateway.txt" in line]
    assert installing
    assert not any("inference" in line for line in installing)


def test_the_image_is_debian_with_cv2s_libraries_and_the_servers_inference(deployed: Recorder) -> None:
    lines = deployed.image_lines
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
    assert not any(part in name for name in sent for part in SOURCE_NOT_NEEDED)
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
