"""Local Modal as a container: what the documented privileges give, what fewer of them refuse, and who can connect."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest
from testcontainers.core.config import testcontainers_config
from testcontainers.core.exceptions import ContainerStartException
from testcontainers.core.network import Network

from local_modal.runtime.isolation import ESSENTIAL
from local_modal.runtime.policy import LAYERS
from local_modal.testing import LocalModalContainer
from local_modal.testing.container import SECCOMP_PROFILE
from tests.contract.test_pytest_plugin import snippet

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "local-modal.md"
ADDED = json.loads(SECCOMP_PROFILE.read_text())["syscalls"][-1]["names"]
USER_ID = 10001
NO_NEW = "no-new-privileges"
MIB = 1 << 20

APP = Path(__file__).with_name("inside.py")


@pytest.fixture(scope="session")
def image(base: str) -> str:  # noqa: ARG001 - what it is built on
    """Local Modal's image, built as its users build it."""
    command = [sys.executable, "-m", "infra.server_images", "build", "local-modal"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return built.stdout.split()[0]


def with_authorities(container: LocalModalContainer) -> LocalModalContainer:
    """Where this machine's packages come through a proxy with a certificate authority of its own."""
    bundle = os.environ.get("SSL_CERT_FILE")
    return container.with_ca_bundle(bundle) if bundle else container


@pytest.fixture(scope="module")
def network(engine: docker.DockerClient) -> Iterator[Network]:  # noqa: ARG001 - where it is made
    with Network() as made:
        yield made


@pytest.fixture(scope="module")
def local(image: str, network: Network) -> Iterator[LocalModalContainer]:
    """One that runs, with its container's defaults."""
    container = with_authorities(LocalModalContainer(image)).with_network(network).with_network_aliases("local-modal")
    with container as running:
        yield running


Modal = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def modal(local: LocalModalContainer, tmp_path_factory: pytest.TempPathFactory) -> Modal:
    """The unmodified client outside, as `modal(arguments…)` or `modal(code=…)`."""
    folder = tmp_path_factory.mktemp("client")

    def run(
        *arguments: str, code: str | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "modal", *arguments]
        variables = {**os.environ, **(env or local.client_env()), "COLUMNS": "200"}
        return subprocess.run(
            command, env=variables, cwd=folder, capture_output=True, text=True, check=False, timeout=300
        )

    shutil.copy(APP, folder)
    return run


@pytest.fixture(scope="module")
def deployed(modal: Modal) -> Modal:
    """The same client, after it deployed the app."""
    done = modal("deploy", "inside.py")
    assert done.returncode == 0, done.stdout + done.stderr
    return modal


def answer(modal: Modal, expression: str) -> object:
    """What a call with the client gives."""
    done = modal(code=f"import json, modal; print(json.dumps({expression}))")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_every_layer_of_isolation_works_with_the_least_privileges(local: LocalModalContainer) -> None:
    facts = json.loads(local.exec(["local-modal", "status", "--json"]).output)
    layers = {name: facts["isolation"].get(name) for name in (ESSENTIAL, *LAYERS)}
    assert layers == dict.fromkeys(layers, "active")
    assert facts["isolation"]["containers run as"] == f"uid {USER_ID} (as this process)"
    assert facts["isolation"]["a snapshot's /proc"].startswith("the one of local Modal")


def test_the_least_privileges_are_those_that_the_container_says(local: LocalModalContainer) -> None:
    status = dict(re.findall(r"^(\w+):\s+(.*)$", local.exec(["cat", "/proc/1/status"]).output.decode(), re.MULTILINE))
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert set(status["Uid"].split()) == {str(USER_ID)}
    for place in ("/opt/local-modal/x", "/usr/x", "/etc/x"):
        assert b"Read-only file system" in local.exec(["touch", place]).output
    assert local.exec(["touch", "/tmp/x"]).exit_code == 0


def test_an_app_from_outside_is_built_inside_and_answers(deployed: Modal) -> None:
    seen = answer(deployed, 'modal.Function.from_name("inside", "look").remote()')
    assert isinstance(seen, dict)
    assert (seen["six"], seen["uid"]) == ("1.17.0", 1000)
    assert seen["proc"] == ["cpuinfo", "meminfo"]
    assert not [name for name in seen["env"] if "TOKEN" in name or name.startswith("LOCAL_MODAL")]


ASK = """
import json, modal, requests, websocket
url = modal.Cls.from_name("inside", "Door")().page.get_web_url()
tokens = modal.Workspace.from_context().proxy_tokens
token = tokens.create("inside")
tokens.allow(token.token_id, "main")
headers = {"Modal-Key": token.token_id, "Modal-Secret": token.token_secret}
page = requests.get(f"{url}/deep?a=1", headers=headers, timeout=60)
refused = requests.get(url, headers={**headers, "Modal-Secret": "ws-wrong"}, timeout=60)
connection = websocket.create_connection(url.replace("http", "ws", 1) + "/ws", header=headers, timeout=60)
connection.send_binary(b"echo")
print(json.dumps([url, page.status_code, page.text, refused.status_code, connection.recv().decode()]))
connection.close()
"""


def test_web_endpoints_are_at_the_address_that_the_client_has(deployed: Modal, local: LocalModalContainer) -> None:
    """The published port, which the container itself doesn't know."""
    done = deployed(code=ASK)
    assert done.returncode == 0, done.stdout + done.stderr
    url, *said = json.loads(done.stdout)
    assert url.startswith(f"{local.client_env()['MODAL_SERVER_URL']}/web/")
    assert said == [200, "/deep?a=1", 401, "echo"]


def test_an_argument_too_large_for_a_message_goes_through_the_published_port(deployed: Modal) -> None:
    sent = f'modal.Cls.from_name("inside", "Box")().length.remote(b"x" * {80 * MIB})'
    assert answer(deployed, sent) == 80 * MIB


def test_a_snapshot_sees_nothing_of_the_control_plane_but_that_it_is_there(deployed: Modal) -> None:
    """An engine masks parts of /proc, so that the kernel gives no fresh one: a snapshot has the container's."""
    asked = 'modal.Cls.from_name("inside", "Box")().control_plane_as_seen_by_the_snapshot.remote()'
    assert answer(deployed, asked) == {"1": []}


def test_nothing_that_ended_is_left_in_the_process_table(local: LocalModalContainer, deployed: Modal) -> None:
    """It is pid 1 of its container, to which orphans fall."""
    assert answer(deployed, '[modal.Function.from_name("inside", "look").remote()["uid"] for _ in range(3)]')
    end = time.monotonic() + 60
    while zombies(local) and time.monotonic() < end:
        pass
    assert zombies(local) == []


def zombies(local: LocalModalContainer) -> list[str]:
    states = local.exec(["sh", "-c", "cat /proc/[0-9]*/stat"]).output.decode()
    assert " (python" in states
    return re.findall(r"^\d+ \(.*\) Z .*$", states, re.MULTILINE)


def test_without_the_token_nothing_is_answered(modal: Modal, local: LocalModalContainer) -> None:
    wrong = {**local.client_env(), "MODAL_TOKEN_SECRET": "as-guessed"}
    refused = modal("app", "list", env=wrong)
    assert refused.returncode != 0
    assert "The token is not this local Modal's" in " ".join((refused.stdout + refused.stderr).split())


def test_the_token_is_nowhere_that_the_engine_keeps_or_prints(
    engine: docker.DockerClient, local: LocalModalContainer
) -> None:
    secret = local.client_env()["MODAL_TOKEN_SECRET"]
    container = local.get_wrapped_container()
    assert secret not in json.dumps(engine.api.inspect_container(local.get_container_id()))
    assert secret not in json.dumps(container.top())
    assert secret.encode() not in container.logs()
    mode = local.exec(["stat", "--format", "%a %u", "/var/lib/local-modal/credentials.json"]).output.decode().split()
    assert mode == ["600", str(USER_ID)]


def test_a_container_on_the_same_network_uses_it_by_its_alias(
    engine: docker.DockerClient,
    image: str,
    network: Network,
    local: LocalModalContainer,
    deployed: Modal,  # noqa: ARG001 - what it calls
) -> None:
    code = f'import modal; print(modal.Cls.from_name("inside", "Box")().length.remote(b"x" * {80 * MIB}))'
    client = engine.containers.run(
        image,
        ["-c", code],
        entrypoint="/opt/local-modal/bin/python",
        environment={**local.client_env("http://local-modal:9171"), "MODAL_CONFIG_PATH": "/dev/null"},
        network=network.name,
        detach=True,
    )
    try:
        status, said = client.wait(timeout=120)["StatusCode"], client.logs().decode()
        assert status == 0, said
        assert int(said) == 80 * MIB
    finally:
        client.remove(force=True, v=True)


def test_it_becomes_healthy_and_stops_in_time(engine: docker.DockerClient, image: str) -> None:
    with LocalModalContainer(image) as local:
        container = local.get_wrapped_container()
        assert health(engine, local.get_container_id()) == "healthy"
        container.stop(timeout=60)
        assert container.wait()["StatusCode"] == 0


def health(engine: docker.DockerClient, container: str) -> str:
    """What its health check says, once it says something."""
    events = engine.events(decode=True, filters={"container": container, "event": "health_status"})
    try:
        while (status := engine.api.inspect_container(container)["State"]["Health"]["Status"]) == "starting":
            next(events)
    finally:
        events.close()
    return str(status)


def test_state_and_built_images_outlive_the_container(engine: docker.DockerClient, image: str) -> None:
    state, images = (engine.volumes.create(f"test-{name}-{uuid4().hex[:8]}") for name in ("state", "images"))

    def run() -> LocalModalContainer:
        container = LocalModalContainer(image).with_image_cache(images.name)
        return container.with_volume_mapping(state.name, "/var/lib/local-modal", "rw")

    try:
        with run() as first:
            token = first.client_env()["MODAL_TOKEN_SECRET"]
            assert first.exec(["touch", "/var/cache/local-modal/mark"]).exit_code == 0
        with run() as second:
            assert second.client_env()["MODAL_TOKEN_SECRET"] == token
            assert second.exec(["stat", "/var/cache/local-modal/mark"]).exit_code == 0
    finally:
        state.remove(force=True)
        images.remove(force=True)


def refusal(engine: docker.DockerClient, image: str, security: list[str], user: str | None = None) -> str:
    """What a container says that must not start."""
    container = engine.containers.create(
        image, cap_drop=["ALL"], read_only=True, tmpfs={"/tmp": ""}, security_opt=security, user=user
    )
    try:
        container.start()
        status = container.wait(timeout=60)["StatusCode"]  # one that starts runs on, and times out here
        said = container.logs().decode()
    finally:
        container.remove(force=True, v=True)
    assert status == 1
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    "security",
    [[], [NO_NEW]],
    ids=["as-docker-run-starts-it", "no-new-privileges"],
)
def test_without_the_profile_it_names_what_is_missing_and_refuses(
    engine: docker.DockerClient, image: str, security: list[str]
) -> None:
    said = refusal(engine, image, security)
    assert said.startswith("local-modal: This machine can't isolate containers fully:\n  namespaces: ")
    assert "--security-opt seccomp=docker/local-modal.seccomp.json" in said


def test_root_without_capabilities_is_told_to_be_another_user(engine: docker.DockerClient, image: str) -> None:
    profile = f"seccomp={SECCOMP_PROFILE.read_text()}"
    said = refusal(engine, image, [NO_NEW, profile], user="0")
    assert "namespaces" in said
    assert "ordinary user" in said


@pytest.mark.parametrize("name", ADDED)
def test_each_call_that_the_profile_adds_is_needed(engine: docker.DockerClient, image: str, name: str) -> None:
    profile = json.loads(SECCOMP_PROFILE.read_text())
    profile["syscalls"][-1]["names"].remove(name)
    security = [NO_NEW, f"seccomp={json.dumps(profile)}"]
    said = refusal(engine, image, security)
    assert "namespaces: " in said
    assert "Operation not permitted" in said


def test_a_layer_that_is_missing_is_named_by_the_exception(image: str) -> None:
    profile = json.loads(SECCOMP_PROFILE.read_text())
    for rule in profile["syscalls"]:
        rule["names"] = [name for name in rule["names"] if not name.startswith("landlock_")]
    container = LocalModalContainer(image).with_kwargs(security_opt=[NO_NEW, f"seccomp={json.dumps(profile)}"])
    with pytest.raises(ContainerStartException, match=r"(?s)can't isolate containers fully.*landlock: "), container:
        pass
    with container.with_setting("allow_missing", "landlock") as running:
        assert b"MISSING" in running.exec(["local-modal", "status"]).output


def test_the_documented_command_starts_it_and_hands_out_the_address(
    engine: docker.DockerClient, modal: Modal, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PAGE.read_text("utf-8").split("<!-- executed -->\n```sh\n")[1].split("```")[0]
    name, port = f"test-{uuid4().hex[:8]}", free_port()
    for documented, here in (
        ("--name local-modal ", f"--name {name} "),
        ("127.0.0.1:9171:9171", f"127.0.0.1:{port}:9171"),
    ):
        assert documented in text
        text = text.replace(documented, here)
    volumes = re.findall(r"--volume ([\w-]+):", text)
    assert len(volumes) == 2
    for volume in volumes:
        text = text.replace(f"--volume {volume}:", f"--volume {volume}-{name}:")
    text = text.replace("docker run", f"docker run --env LOCAL_MODAL_ADVERTISED_URL=http://127.0.0.1:{port}", 1)
    text = text.replace("docker exec local-modal", f"docker exec {name}")
    monkeypatch.chdir(ROOT)
    try:
        done = subprocess.run(
            ["bash", "-euc", f"{text}\nenv"], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert health(engine, name) == "healthy"
        variables = dict(line.partition("=")[::2] for line in done.stdout.splitlines() if line.startswith("MODAL_"))
        assert variables["MODAL_SERVER_URL"] == f"http://127.0.0.1:{port}"
        assert modal("environment", "list", env=variables).returncode == 0
    finally:
        engine.containers.get(name).remove(force=True, v=True)
        for volume in volumes:
            engine.volumes.get(f"{volume}-{name}").remove(force=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def project(image: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:  # noqa: ARG001 - it is there
    """Another project's folder with what docs/testing.md shows, as `project(arguments of python…)`."""
    for name in ("test_greeter.py", "call.py"):
        (tmp_path / name).write_text(snippet(name))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TESTCONTAINERS_RYUK_DISABLED": "true"}
    if mode := testcontainers_config.connection_mode_override:
        variables["TESTCONTAINERS_CONNECTION_MODE"] = mode.value

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=300
        )

    return run


def test_what_the_page_shows_of_a_container_runs(project: Modal) -> None:
    done = project("call.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "App deployed" in done.stdout


def containers_of(engine: docker.DockerClient, image: str) -> set[str | None]:
    return {container.id for container in engine.containers.list(all=True, filters={"ancestor": image})}


def test_the_plug_in_uses_a_container_where_an_image_is_named(
    project: Modal, image: str, engine: docker.DockerClient
) -> None:
    before = containers_of(engine, image)
    options = ["-p", "local_modal.testing.plugin", "-p", "no:cacheprovider", "--local-modal-image", image]
    done = project("-m", "pytest", "-q", *options, "--setup-show", "test_greeter.py")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert containers_of(engine, image) == before
    unknown = project("-m", "pytest", "-q", *options[:-1], "no-such-image:here", "test_greeter.py")
    assert "no-such-image" in unknown.stdout
    assert "2 errors" in unknown.stdout


def test_the_profile_is_dockers_own_with_one_rule_more() -> None:
    """Made again from the published module, it is the same."""
    if shutil.which("go") is None:
        pytest.skip("NOT RUN: the profile is made with go, which is not on PATH")
    command = [sys.executable, str(ROOT / "docker" / "seccomp.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (ROOT / "docker" / "local-modal.seccomp.json").samefile(SECCOMP_PROFILE)
