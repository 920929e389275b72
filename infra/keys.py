"""Every key of a stack: its kind, default and description. Those of the app's settings come from the app itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.app_facts import AppFacts
from infra.kinds import Kind

MAIN = "main"
"""The environment that a Modal account starts with."""
ENVIRONMENT = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
REGISTRY = r"[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*"
BASE_IMAGE = rf"{REGISTRY}(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[0-9a-f]{{64}})?"

APP_KEYS = {
    "region": "region",
    "cloud": "cloud",
    "routingRegion": "routing_region",
    "timeout": "timeout_seconds",
    "startupTimeout": "startup_timeout_seconds",
    "scaledownWindow": "scaledown_window_seconds",
    "bufferContainers": "buffer_containers",
    "maxContainers": "max_containers",
    "warmWorkspaces": "warm_workspaces",
    "memory": "memory_mib",
    "cpu": "cpu",
    "network": "network",
    "packages": "packages",
    "torch": "torch",
    "inferenceVersion": "inference_version",
    "imageTag": "image_tag",
    "strictVersion": "strict_version",
    "gatewayInputs": "gateway_inputs",
    "gatewayMaxContainers": "gateway_max_containers",
    "gatewayScaledown": "gateway_scaledown_seconds",
    "answerSeconds": "answer_seconds",
    "connectionSeconds": "connection_seconds",
    "sessionSeconds": "session_seconds",
    "idleSeconds": "idle_seconds",
    "frameSeconds": "frame_seconds",
    "requestBytes": "request_bytes",
    "waitingBytes": "waiting_bytes",
    "runningBlocks": "running_blocks",
    "codeEntries": "code_entries",
    "codeBytes": "code_bytes",
    "codeWorkspaces": "code_workspaces",
    "replayEntries": "replay_entries",
    "replayBytes": "replay_bytes",
    "replaySeconds": "replay_seconds",
    "executedSeconds": "executed_seconds",
}
"""Stack keys that are settings of the app or of the server's side, by the setting's name."""
STACKS_OWN = frozenset({"secrets"})
"""Settings of the app that follow from others of the stack."""
IMAGE_SETTINGS = ("inference_version", "packages", "torch")
"""Settings that make the image; all others of the app make the deployed class."""


@dataclass(frozen=True)
class Key:
    """One key of `Pulumi.<stack>.yaml`."""

    name: str
    kind: Kind
    default: Any
    description: str
    secret: bool = False
    setting: str = ""
    """The setting of the app that it is, if it is one."""

    @property
    def shown_default(self) -> Any:
        """The default as a stack's file would have it."""
        return self.kind.empty if self.default is None else self.default


_MAP = Kind("map", "a map from variables' names to texts (quote numbers)")
_FLAG = Kind("boolean", "true or false")

OWN_KEYS = (
    Key(
        "environment",
        Kind("string", "letters, digits, '_' and '-', 32 at most", pattern=f"({ENVIRONMENT})?"),
        "",
        "Modal environment that everything of the stack is in; empty: named as the stack.",
    ),
    Key(
        "restricted",
        _FLAG,
        False,
        "Whether only those with a role in the environment reach it. A feature of some plans.",
    ),
    Key(
        "serviceUser",
        _FLAG,
        True,
        "Whether the inference server gets a service user of its own, a contributor in this environment only. A "
        "feature of some plans; without it the server needs a token that you give it.",
    ),
    Key(
        "serviceUserDays",
        Kind("integer", "a whole number from 0 to 3650 (days)", minimum=0, maximum=3650),
        0,
        "Days until the service user's token expires; 0: never. Rotate before that.",
    ),
    Key(
        "proxyToken",
        _FLAG,
        True,
        "Whether the inference server gets a proxy token, for web endpoints of this environment only.",
    ),
    Key(
        "rotation",
        Kind("integer", "a whole number from 1 to 1000000", minimum=1, maximum=1_000_000),
        1,
        "Generation of the server's tokens. One more makes new ones; the ones before stay valid until the next "
        "rotation, so that a running server goes on.",
    ),
    Key(
        "executorEnv",
        _MAP,
        {},
        "Environment variables of the executors, as a Modal Secret. Every block can read them.",
    ),
    Key(
        "executorSecrets",
        _MAP,
        {},
        "The same, kept encrypted in the stack's file. Every block can read these too.",
        secret=True,
    ),
    Key("serverEnv", _MAP, {}, "Environment variables of the inference server. They never reach a block."),
    Key(
        "serverSecrets",
        _MAP,
        {},
        "The same, kept encrypted in the stack's file. They never reach a block.",
        secret=True,
    ),
    Key(
        "serverImages",
        Kind("string", "one of none, cpu, gpu, both", choices=("none", "cpu", "gpu", "both")),
        "none",
        "Images of the inference server that the stack builds, on a Docker engine.",
    ),
    Key(
        "serverRegistry",
        Kind(
            "string",
            "a registry with the path in it, such as ghcr.io/acme, in lower case, or '' (not set)",
            pattern=f"({REGISTRY})?",
        ),
        "",
        "Where they are pushed, with the credentials of `docker login` or of a credential helper; empty: they stay on "
        "the engine.",
    ),
    Key(
        "serverTorch",
        Kind("string", "one of cpu, default", choices=("cpu", "default")),
        "cpu",
        "Wheels of torch in the CPU image: the CPU build, or the default index's, which bring CUDA's libraries along.",
    ),
    Key(
        "serverBase",
        Kind("string", "an image with tag or digest, or '' (not set)", pattern=f"({BASE_IMAGE})?"),
        "",
        "Base of the images, with Python 3.11: in production with its digest, NAME:TAG@sha256:…; empty: what the "
        "Dockerfiles name.",
    ),
    Key(
        "protect",
        _FLAG,
        False,
        "Whether what serves is protected: a destroy is refused, and what leaves the stack stays at Modal.",
    ),
)


def stack_keys(facts: AppFacts) -> dict[str, Key]:
    """Every key there is, by name, in the order in which the docs list them."""
    app = {name: _app_key(name, setting, facts) for name, setting in app_keys(facts).items()}
    return app | {key.name: key for key in OWN_KEYS}


def app_keys(facts: AppFacts) -> dict[str, str]:
    """Stack keys that are settings of the app or of the server's side: those above, and all others of the app, each
    under its own name."""
    named = STACKS_OWN | set(APP_KEYS.values())
    others = [name for name, said in facts.allowed.items() if said["group"] == "app" and name not in named]
    return APP_KEYS | {_camel_case(name): name for name in others}


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _app_key(name: str, setting: str, facts: AppFacts) -> Key:
    said: Mapping[str, Any] = facts.allowed[setting]
    return Key(name, Kind.of(said), facts.defaults[setting], said["description"], setting=setting)
