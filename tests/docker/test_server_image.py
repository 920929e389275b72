"""The CPU server's image: what is in it, how little it needs, and blocks that run in local Modal outside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.images import Image
from docker.models.networks import Network

from modal_app.settings import INFERENCE_VERSION, MODAL_VERSION
from tests.chain.pulumi.conftest import deployment_in, pulumi_cli
from tests.chain.workflows import PARAMETER, single
from tests.contract.conftest import LocalModal
from tests.docker.inference_server import InferenceServer, ended

__all__ = ["pulumi_cli"]

WHERE = """
def run(self, number):
    import os
    in_a_task, in_the_image = "MODAL_TASK_ID" in os.environ, os.path.exists("/opt/server")
    return {"value": number * 2, "in_a_task": in_a_task, "in_the_image": in_the_image}
"""
DOUBLED = single(WHERE, {"number": PARAMETER}, ("value", "in_a_task", "in_the_image"))


@pytest.fixture(scope="module")
def network(engine: docker.DockerClient) -> Iterator[Network]:
    """A bridge of the tests' own."""
    network = engine.networks.create("inference-custom-blocks-test", driver="bridge", check_duplicate=True)
    network.reload()
    yield network
    network.remove()


@pytest.fixture(scope="module")
def env_files(
    network: Network,
    pulumi_cli: Path,  # noqa: ARG001 - it is there
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, dict[str, str]]]:
    """Variables of `make server-env` by transport, for a stack deployed to a local Modal that listens on the bridge."""
    (addresses,) = network.attrs["IPAM"]["Config"]
    folder = tmp_path_factory.mktemp("stack")
    modal = LocalModal(folder / "modal", {"LOCAL_MODAL_PORT": "0", "LOCAL_MODAL_BIND": addresses["Gateway"]})
    modal.start()
    try:
        deployment = deployment_in(folder, "local", modal)
        deployment.run("up")
        found = {}
        for transport in ("native", "http", "websocket"):
            file = folder / f"{transport}.env"
            deployment.env_file("--transport", transport, "--format", "docker", "--file", str(file))
            lines = file.read_text().splitlines()
            found[transport] = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        yield found
    finally:
        modal.run("stop")


@pytest.fixture(scope="module")
def env_file(env_files: dict[str, dict[str, str]]) -> dict[str, str]:
    """Those of the native way."""
    return env_files["native"]


@pytest.fixture(scope="module")
def alone(cpu_image: Image) -> Iterator[InferenceServer]:
    """A server without a network, with no setting at all."""
    with InferenceServer(cpu_image).on("none") as server:
        yield server


@pytest.fixture(scope="module")
def connected(cpu_image: Image, network: Network, env_file: dict[str, str]) -> Iterator[InferenceServer]:
    """A server on the bridge, with the variables of `make server-env` and blocks without a workspace allowed."""
    allowed = {"MODAL_ALLOW_ANONYMOUS_EXECUTION": "True", "ENABLE_STREAM_API": "True"}
    with InferenceServer(cpu_image, **{**env_file, **allowed}).on(str(network.name)) as server:
        yield server


@pytest.fixture(params=["http", "websocket"])
def released(
    cpu_image: Image, network: Network, env_files: dict[str, dict[str, str]], request: pytest.FixtureRequest
) -> Iterator[InferenceServer]:
    """A server on the bridge that is told of web endpoints only, so that nothing of this project is used in it."""
    with InferenceServer(cpu_image, **env_files[request.param]).on(str(network.name)) as server:
        yield server


@pytest.fixture(scope="module")
def refused(cpu_image: Image, network: Network, env_file: dict[str, str]) -> Iterator[InferenceServer]:
    """A server on the bridge with a wrong secret."""
    wrong = {"MODAL_TOKEN_SECRET": "as-wrong", "MODAL_ALLOW_ANONYMOUS_EXECUTION": "True"}
    with InferenceServer(cpu_image, **{**env_file, **wrong}).on(str(network.name)) as server:
        yield server


def request(number: int) -> dict[str, Any]:
    return {"api_key": None, "specification": DOUBLED, "inputs": {"number": number}}


def test_it_becomes_healthy_without_a_network_a_setting_or_a_key(alone: InferenceServer) -> None:
    attributes = alone.attributes
    assert attributes["State"]["Health"]["Status"] == "healthy"
    assert list(attributes["NetworkSettings"]["Networks"]) == ["none"]
    assert alone.run(["python", "-m", "start", "--healthy"]) == (0, "healthy\n")


def test_it_runs_as_nobody_in_particular_with_no_capability_and_nothing_to_write_to(alone: InferenceServer) -> None:
    status, said = alone.run(["sh", "-c", "id -u; grep -e CapEff -e CapBnd /proc/1/status; touch /opt/app/x /x 2>&1"])
    assert said.splitlines()[:3] == ["10001", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"]
    assert said.count("Read-only file system") == 2
    assert status != 0
    status, files = alone.run(["sh", "-c", "find / -xdev -writable -not -type l -not -path '/proc/*' 2>/dev/null"])
    assert [name for name in files.splitlines() if not name.startswith(("/dev", "/tmp", "/proc"))] == []


def test_what_is_installed_is_what_the_lists_pin(alone: InferenceServer) -> None:
    script = "from importlib.metadata import version as v; print(v('inference-cpu'), v('modal'), v('onnxruntime'))"
    _, said = alone.run(["python", "-c", script])
    assert said.split()[:2] == [INFERENCE_VERSION, MODAL_VERSION]


def test_there_is_no_compiler_installer_or_cache_in_it(alone: InferenceServer) -> None:
    tools = "cc gcc g++ c++ clang make cmake rustc cargo uv git curl"
    assert alone.run(["sh", "-c", f"for tool in {tools}; do command -v $tool; done"])[1] == ""
    left = "ls -d /requirements /uv /root/.cache; find /var/lib/apt/lists -type f -size +0"
    assert alone.run(["sh", "-c", f"exec 2>/dev/null; {left}"])[1] == ""


def test_bytecode_is_compiled_ahead(alone: InferenceServer) -> None:
    script = (
        "from importlib.util import cache_from_source as c, find_spec as f; from os.path import exists;"
        "print([exists(c(f(name).origin)) for name in ('modal', 'torch', 'inference', 'modal_app', 'start')])"
    )
    assert alone.run(["python", "-c", script])[1].strip() == str([True] * 5)


def test_its_layers_and_settings_hold_no_secret(cpu_image: Image, engine: docker.DockerClient) -> None:
    config = engine.images.get(str(cpu_image.id)).attrs["Config"]
    assert [line for line in config["Env"] if any(word in line.upper() for word in ("TOKEN", "SECRET", "KEY"))] == []
    history = "\n".join(layer["CreatedBy"] for layer in cpu_image.history())
    assert "/etc/ssl/certs" not in history
    assert {"org.opencontainers.image.title", "org.opencontainers.image.licenses"} <= config["Labels"].keys()
    assert config["User"] == "10001:10001"


def test_the_authorities_that_the_build_trusted_stay_out_of_it(
    engine: docker.DockerClient, base: str, alone: InferenceServer
) -> None:
    command = ["sha256sum", "/etc/ssl/certs/ca-certificates.crt"]
    assert alone.run(command)[1] == engine.containers.run(base, command, remove=True).decode()


def test_the_plug_in_is_there_and_does_nothing_by_itself(alone: InferenceServer) -> None:
    status, said = alone.run(["python", "-c", "import os; print(os.environ.get('WORKFLOWS_PLUGINS'))"])
    assert (status, said.strip()) == (0, "None")
    assert alone.run(["python", "-c", "import modal_app.server.policy"])[0] == 0


def test_a_block_runs_in_local_modal_outside_the_container(connected: InferenceServer) -> None:
    status, answer = connected.post("/workflows/run", request(21))
    assert status == 200, answer
    assert answer["outputs"] == [{"value": 42, "in_a_task": True, "in_the_image": False}]


def test_a_block_of_a_released_server_runs_there_by_variables_alone(released: InferenceServer) -> None:
    assert b"WORKFLOWS_PLUGINS" not in released.exec(["cat", "/proc/1/environ"]).output
    status, answer = released.post("/workflows/run", request(21))
    assert status == 200, answer
    assert answer["outputs"] == [{"value": 42, "in_a_task": True, "in_the_image": False}]


def test_a_blocks_own_error_names_its_line(connected: InferenceServer) -> None:
    failing = single("def run(self):\n    return {'value': 1 / 0}")
    status, answer = connected.post("/workflows/run", {"api_key": None, "specification": failing, "inputs": {}})
    assert status >= 400
    assert "ZeroDivisionError" in str(answer)
    assert "line 2" in str(answer)


def test_the_manager_of_video_streams_answers(connected: InferenceServer) -> None:
    assert connected.get("/inference_pipelines/list")[0] == 200


def test_secrets_are_not_in_its_log(connected: InferenceServer, env_file: dict[str, str]) -> None:
    assert env_file["MODAL_TOKEN_SECRET"] not in connected.log


def test_wrong_credentials_are_named_as_what_they_are(refused: InferenceServer) -> None:
    status, answer = refused.post("/workflows/run", request(1))
    assert status >= 400
    assert "Modal refuses this server's credentials" in str(answer)
    assert "MODAL_TOKEN_ID, MODAL_TOKEN_SECRET" in str(answer)


def test_it_ends_by_itself_when_the_engine_says_so(refused: InferenceServer) -> None:
    refused.get_wrapped_container().stop(timeout=60)
    assert refused.attributes["State"]["ExitCode"] == 0  # 137 where the engine had to kill it


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("PORT", "nine", "PORT='nine' must be a positive number"),
        ("WORKFLOWS_PLUGINS", "no_such_plugin", "plug-in no_such_plugin: No module named 'no_such_plugin'"),
    ],
)
def test_a_setting_that_cannot_work_ends_the_start_with_one_line(
    engine: docker.DockerClient, cpu_image: Image, setting: str, value: str, message: str
) -> None:
    status, said = ended(engine, cpu_image, **{setting: value})
    assert status == 1
    assert [line for line in said.splitlines() if line.startswith("start: ")][-1] == f"start: {message}"
    assert "Traceback" not in said
