"""Each key of a stack, set to another value than its default, is what is deployed then, as the control plane says.

Three stacks hold all keys: one with every key that builds an image of its own, one that takes that image by its name
and goes without the rest, and one for wheels of torch that this machine may not be able to get.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from modal_proto import api_pb2

from infra.app_facts import app_facts
from infra.keys import stack_keys
from tests.chain.pulumi.conftest import APP, deployment_in
from tests.chain.pulumi.held import Held
from tests.contract.conftest import LocalModal

pytestmark = pytest.mark.timeout(1800)
KEYS = stack_keys(app_facts())
BUILDS, PROMOTED, TORCH = "builds", "promoted", "torch"
PASSPHRASE = "of-this-test"
THE_IMAGE = "the image that the other stack built"
DAY_SECONDS = 86_400
OF_SERVER_IMAGES = {"serverImages", "serverRegistry", "serverTorch", "serverBase"}
"""What a Docker engine builds and no control plane holds: tests/docker has those."""


@dataclass(frozen=True)
class Row:
    """A key, its value in a stack's file, where it is read back, and what must be there."""

    key: str
    value: Any
    read: Callable[[Held], Any]
    expected: Any
    stack: str = BUILDS


def token_days(held: Held) -> list[float]:
    rows = held.rows("SELECT expires_at - created_at AS seconds FROM service_users")
    return [round(row["seconds"] / DAY_SECONDS, 3) for row in rows]


def kept_ready(held: Held) -> dict[str, int]:
    """By the bound parameters' text: the fewest containers."""
    query = "SELECT params, settings FROM autoscalers JOIN bound_functions ON bound_id = autoscalers.function_id"
    found = ((row["params"], api_pb2.AutoscalerSettings.FromString(row["settings"])) for row in held.rows(query))
    return {re.findall(rb"[a-z-]{3,}", params)[-1].decode(): settings.min_containers for params, settings in found}


def restricted(held: Held) -> bool:
    items = held.ask("EnvironmentList").items
    return next(bool(item.is_managed) for item in items if item.name == held.environment)


def published_as(held: Held) -> list[str]:
    """Names of the images that the executor's is built on."""
    rows = held.rows("SELECT environment, tag, image_id FROM image_tags")
    return [f"{row['environment']}/{row['tag']}" for row in rows if row["image_id"] in held.bases]


def own_proxy_tokens(held: Held) -> list[str]:
    return [name for name in held.names["proxy tokens"] if held.environment in name]


def survives_destroy(held: Held) -> bool:
    """Whether it is refused, and the app stays."""
    process = held.deployment.start("destroy", "--yes")
    said, _ = process.communicate()
    return process.returncode != 0 and "protect" in said and held.names["apps"][held.environment] == [APP]


def torch_options(held: Held) -> set[str]:
    """Of all images that were asked for: where torch's own index can't be reached, the build fails."""
    rows = held.rows("SELECT image_id FROM images")
    return {word for row in rows for line in held.lines_of(row["image_id"]) for word in line.split() if "torch" in word}


DOORS = {
    "answerSeconds": 27,
    "codeBytes": 4_000_000,
    "codeEntries": 77,
    "codeWorkspaces": 78,
    "connectionSeconds": 501,
    "executedSeconds": 502,
    "frameSeconds": 31,
    "idleSeconds": 61,
    "replayBytes": 5_000_000,
    "replayEntries": 79,
    "replaySeconds": 503,
    "requestBytes": 6_000_000,
    "runningBlocks": 80,
    "sessionSeconds": 504,
    "waitingBytes": 7_000_000,
}
"""Keys that the doors' containers read themselves, with values for them."""


def variable(key: str) -> str:
    """`CUSTOM_BLOCKS_CODE_BYTES`, of `codeBytes`."""
    return "CUSTOM_BLOCKS_" + re.sub("([A-Z])", r"_\1", key).upper()


def read_by_doors(key: str) -> Callable[[Held], Any]:
    return lambda held: held.door_variables[variable(key)]


ROWS = (
    *(Row(key, value, read_by_doors(key), str(value)) for key, value in DOORS.items()),
    Row("gatewayInputs", 55, lambda held: held.gateway.max_concurrent_inputs, 55),
    Row("gatewayMaxContainers", 3, lambda held: held.gateway.autoscaler_settings.max_containers, 3),
    Row("gatewayScaledown", 301, lambda held: held.gateway.autoscaler_settings.scaledown_window, 301),
    Row("region", "eu-west", lambda held: list(held.function.scheduler_placement.regions), ["eu-west"]),
    Row("cloud", "gcp", lambda held: held.function.cloud_provider_str, "gcp"),
    Row("routingRegion", "eu", lambda held: held.function.routing_region, "eu"),
    Row("timeout", 41, lambda held: held.function.timeout_secs, 41),
    Row("startupTimeout", 242, lambda held: held.function.startup_timeout_secs, 242),
    Row("scaledownWindow", 43, lambda held: held.function.autoscaler_settings.scaledown_window, 43),
    Row("bufferContainers", 1, lambda held: held.function.autoscaler_settings.buffer_containers, 1),
    Row("maxContainers", 45, lambda held: held.function.autoscaler_settings.max_containers, 45),
    Row("warmWorkspaces", ["acme", "ours"], kept_ready, {"acme": 1, "ours": 1}),
    Row(
        "memory",
        2046,
        lambda held: (held.function.resources.memory_mb, held.function.resources.memory_mb_max),
        (2046, 2046),
    ),
    Row(
        "cpu",
        "1.5",
        lambda held: (held.function.resources.milli_cpu, held.function.resources.milli_cpu_max),
        (1500, 1500),
    ),
    Row("network", "egress", lambda held: held.function.block_network, False),
    Row("packages", ["iniconfig==2.1.0"], lambda held: "iniconfig==2.1.0" in " ".join(held.image_lines), True),
    Row("torch", "cpu", torch_options, {"--torch-backend=cpu"}, TORCH),
    # As another way of writing the default it is another image, of packages that this machine has.
    Row(
        "inferenceVersion",
        "1.8.3.0",
        lambda held: set(re.findall(r"inference-cpu==([^\s']+)", "\n".join(held.image_lines))),
        {"1.8.3.0"},
    ),
    Row("imageTag", THE_IMAGE, published_as, THE_IMAGE, PROMOTED),
    Row("strictVersion", True, lambda held: held.server["CUSTOM_BLOCKS_STRICT_VERSION"], "true"),
    Row("environment", "keys", lambda held: held.names["apps"]["keys"], [APP]),
    Row("restricted", True, restricted, True),
    Row("serviceUser", False, lambda held: "MODAL_TOKEN_ID" in held.server, False, PROMOTED),
    Row("serviceUserDays", 9, token_days, [9.0, 9.0]),
    Row("proxyToken", False, own_proxy_tokens, [], PROMOTED),
    Row("rotation", 3, lambda held: held.names["service users"], ["custom-blocks-keys-2", "custom-blocks-keys-3"]),
    Row("anonymous", "allow", lambda held: held.server["MODAL_ALLOW_ANONYMOUS_EXECUTION"], "True"),
    Row("executorEnv", {"GREETING": "hello"}, lambda held: held.attached["custom-blocks-env"], ["GREETING"]),
    Row("executorSecrets", {"API_KEY": "k-1"}, lambda held: held.attached["custom-blocks-secrets"], ["API_KEY"]),
    Row("serverEnv", {"PORT": "9001"}, lambda held: held.server["PORT"], "9001"),
    Row("serverSecrets", {"DATABASE": "d-1"}, lambda held: held.server["DATABASE"], "d-1"),
    Row("protect", True, survives_destroy, True, PROMOTED),
)


def values(stack: str) -> dict[str, Any]:
    return {row.key: row.value for row in ROWS if row.stack == stack}


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory, pulumi_cli: Path) -> Iterator[dict[str, Held]]:  # noqa: ARG001 - it is there
    """By stack: what the control plane holds after `up`. Torch has one of its own, as all its images are looked at."""
    folder = tmp_path_factory.mktemp("keys")
    planes = {name: LocalModal(folder / f"modal-{name}", {"LOCAL_MODAL_PORT": "0"}) for name in (BUILDS, TORCH)}
    for plane in planes.values():
        plane.start()
    try:
        builds = Held(planes[BUILDS], deployment_in(folder, BUILDS, planes[BUILDS]), "keys")
        builds.deployment.use_own_backend(PASSPHRASE)
        for key, value in values(BUILDS).items():
            if KEYS[key].secret:
                for name, text in value.items():
                    builds.deployment.configure_secret(f"{key}.{name}", text)
            else:
                builds.deployment.configure(**{key: value})
        builds.deployment.run("up")
        promoted = Held(planes[BUILDS], deployment_in(folder, PROMOTED, planes[BUILDS]), PROMOTED)
        promoted.deployment.use_own_backend(PASSPHRASE)
        promoted.deployment.configure(**{**values(PROMOTED), "imageTag": builds.deployment.output("imageTag")})
        promoted.deployment.run("up")
        torch = Held(planes[TORCH], deployment_in(folder, TORCH, planes[TORCH]), TORCH)
        torch.deployment.use_own_backend(PASSPHRASE)
        torch.deployment.configure(**values(TORCH))
        torch.deployment.start("up").communicate()
        yield {BUILDS: builds, PROMOTED: promoted, TORCH: torch}
    finally:
        for plane in planes.values():
            plane.run("stop")


def test_every_key_has_its_row() -> None:
    assert sorted(row.key for row in ROWS) == sorted(KEYS.keys() - OF_SERVER_IMAGES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_a_row_sets_something_else_than_the_default(row: Row) -> None:
    assert row.value not in (KEYS[row.key].default, KEYS[row.key].shown_default)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_a_key_is_what_is_deployed(row: Row, held: dict[str, Held]) -> None:
    expected = [held[BUILDS].deployment.output("imageTag")] if row.expected is THE_IMAGE else row.expected
    assert row.read(held[row.stack]) == expected
