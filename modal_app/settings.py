"""Every name, limit and version of the app: the one place where they stand.

Standard library only and cheap to import: the build tools, the tests and the container read it too. A version changes
here and nowhere else. What an operator may need to change is a field of a frozen dataclass; each of them can be set by
the environment variable `CUSTOM_BLOCKS_<FIELD>` (so `CUSTOM_BLOCKS_TIMEOUT_SECONDS=40`). `SERVER_NEEDS` names those
that must then hold for the deploy and for the server alike.

`python -m modal_app.settings` prints all of it as JSON: names, versions, defaults, and what each setting may be.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Self, get_type_hints

from modal_app.setting_types import Kind, Number, Text, kind_of

INFERENCE_VERSION = "1.8.3"
MODAL_VERSION = "1.6.4"
UV_VERSION = "0.13.9"
PYTHON_VERSION = "3.11"

CONTRACT_VERSION = 1
"""Version of what a request and a response look like; caller and container must agree on it."""

APP_NAME = "inference-custom-blocks"
EXECUTOR_CLASS = "Executor"
GATEWAY_CLASS = "Gateway"
SESSION_CLASS = "Session"
DOORS = {"http": "Gateway.execute_block", "websocket": "Gateway.wsapp", "session": "Session.wsapp"}
"""The web endpoint of each way in beside `Executor`: its class and method."""
ANONYMOUS_ALIASES = frozenset({"", "anonymous", "unauthorized"})
"""Workspace ids that stand for "nobody", beside the one that MODAL_ANONYMOUS_WORKSPACE_NAME gives."""

ENVIRONMENT_PREFIX = "CUSTOM_BLOCKS_"

SERVER_NEEDS = ("timeout_seconds", "startup_timeout_seconds", "inference_version")
"""Settings of the app that the server is given too: it waits, and accounts for time, by them, and its smoke test knows
which version containers must have."""

Seconds = Annotated[int, Number(1, 86_400, "s")]
Bytes = Annotated[int, Number(1, unit="bytes")]
Characters = Annotated[int, Number(1, unit="characters")]
Count = Annotated[int, Number(1)]
Region = Annotated[str, Text(r"[a-z][a-z0-9-]{1,31}", "the name of a region, such as us-central1 or eu")]
Version = Annotated[str, Text(r"[0-9][0-9A-Za-z.!+]{0,63}", "a version, such as 1.8.3")]
Requirement = Annotated[
    str,
    Text(
        r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._, -]*\])?==[0-9][0-9A-Za-z.!+]*",
        "a package with its exact version, such as shapely==2.1.2",
    ),
]
SecretName = Annotated[str, Text(r"[A-Za-z0-9_.-]{1,64}", "the name of a Modal Secret")]
WORKSPACE_ID = Text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", "up to 128 letters, digits, dots, dashes and underscores")
"""What a workspace's name may hold. It ends up in names and logs."""
WorkspaceId = Annotated[str, WORKSPACE_ID]
ImageTag = Annotated[
    str,
    Text(
        r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63}/)?(?!im-)[A-Za-z0-9_.-]{1,64}(:[A-Za-z0-9_.-]{1,64})?",
        "an image's name, such as custom-blocks:v1, or staging/custom-blocks:v1 for that of another environment",
    ),
]


class SettingsError(ValueError):
    """Environment variables hold values that their settings can't take; the message has a line for each."""


@dataclass(frozen=True)
class Setting:
    """One field of a group, as it is set from outside."""

    name: str
    kind: Kind
    optional: bool
    """Whether it may have no value (None)."""

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()

    def parse(self, text: str) -> Any:
        """The value that `text` stands for; SettingsError names the variable, its value and what is allowed."""
        return _parse(self.variable, text, self.kind)


@dataclass(frozen=True)
class Settings:
    """Base of the groups below: builds a group from its defaults and the environment."""

    @classmethod
    def settings(cls) -> Iterator[Setting]:
        """The group's fields."""
        hints = get_type_hints(cls, include_extras=True)
        for field in fields(cls):
            yield Setting(field.name, *kind_of(hints[field.name]))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The defaults, overridden by `CUSTOM_BLOCKS_<FIELD>`.

        Raises:
            SettingsError: values that their settings can't take, or names that no setting has.
        """
        return cls(**_read(environ, cls))


@dataclass(frozen=True)
class AppSettings(Settings):
    """What the deployed class is; read at deploy time. A field without a value leaves the choice to Modal."""

    timeout_seconds: Seconds = 20
    """How long one call of a block may run."""
    startup_timeout_seconds: Seconds = 300
    """How long a container may take to start, the imports before its memory snapshot included."""
    scaledown_window_seconds: Annotated[int, Number(2, 3600, "s")] = 30
    """How long an idle container is kept; containers are single-use, so only ones that have not run yet are ever idle.
    """
    buffer_containers: Annotated[int, Number(0)] | None = None
    """Containers kept ready beyond those at work, for each workspace that is calling."""
    max_containers: Count | None = None
    """The most containers that one workspace may have at once; calls beyond that wait."""
    warm_workspaces: tuple[WorkspaceId, ...] = ()
    """Workspaces that have a container ready at any time; set after a deploy, by `python -m modal_app.warm`."""
    memory_mib: Annotated[int, Number(128, 344_064, "MiB")] | None = None
    """Memory of a container: reserved for it, and its limit."""
    cpu: Annotated[float, Number(0.125, 64, "cores", decimal=True)] | None = None
    """Cores of a container: reserved for it, and its limit."""
    region: Region = "us-central1"
    """Where containers run."""
    cloud: Literal["auto", "aws", "gcp", "oci"] | None = None
    """Whose machines containers run on."""
    routing_region: Region | None = None
    """Where Modal routes inputs and outputs through."""
    network: Literal["none", "egress"] = "none"
    """What of the network a block reaches: nothing, or whatever it can connect to from where it runs."""
    secrets: tuple[SecretName, ...] = ()
    """Modal Secrets whose values are environment variables of the containers: every block can read them."""
    packages: tuple[Requirement, ...] = ()
    """Packages that blocks can import beyond inference and what it brings; they must agree with those."""
    inference_version: Version = INFERENCE_VERSION
    """The inference package in the image: that of the servers that call."""
    torch: Literal["auto", "cpu", "default"] = "auto"
    """Wheels of torch in the image: the CPU build, the default index's, or the CPU build where its index answers."""
    image_tag: ImageTag | None = None
    """A published image to use instead of building one; its packages, inference and torch are as it was built."""


@dataclass(frozen=True)
class WebSettings(Settings):
    """The doors that speak the released server's own wire, Gateway and Session; read at deploy time."""

    anonymous: Literal["allow", "refuse"] = "refuse"
    """Whether the doors run blocks of callers without a workspace."""
    gateway_inputs: Annotated[int, Number(1, 1000, "requests and connections")] = 100
    """How many requests and connections one container of the Gateway serves at once."""
    gateway_max_containers: Count | None = None
    """The most containers that the Gateway may have at once."""
    gateway_scaledown_seconds: Annotated[int, Number(2, 3600, "s")] = 300
    """How long an idle container of the Gateway is kept."""
    answer_seconds: Seconds = 28
    """When a request over HTTP is answered at the latest; the released client gives up after 30 s."""
    connection_seconds: Seconds = 600
    """How long a WebSocket connection to the Gateway may last; the client then opens another."""
    session_seconds: Seconds = 600
    """How long a Session may last, with its container and all state in it."""
    idle_seconds: Annotated[int, Number(2, unit="s")] = 60
    """How long a WebSocket connection is kept without a frame; clients send heartbeats at a third of it."""
    frame_seconds: Seconds = 30
    """How long the next piece of a message may take, either way, before the connection is given up."""
    request_bytes: Bytes = 64 * 1024 * 1024
    """Size of one request over HTTP, as sent and unpacked."""
    waiting_bytes: Bytes = 1024 * 1024 * 1024
    """Size of all requests that one container of the Gateway holds at once; more are answered that it is busy."""
    running_blocks: Count = 256
    """Blocks that one container of the Gateway has running at once, those of lost connections included."""
    code_entries: Annotated[int, Number(1, unit="blocks")] = 256
    """Blocks of one workspace whose code a container of the Gateway remembers."""
    code_bytes: Bytes = 8 * 1024 * 1024
    """Size of the code of one workspace that a container of the Gateway remembers."""
    code_workspaces: Annotated[int, Number(1, unit="workspaces")] = 1024
    """Workspaces whose code a container of the Gateway remembers."""
    replay_entries: Annotated[int, Number(1, unit="answers")] = 1024
    """Answers over WebSocket that a container keeps for a client that asks again."""
    replay_bytes: Bytes = 256 * 1024 * 1024
    """Size of these answers."""
    replay_seconds: Seconds = 900
    """How long it keeps one."""
    executed_seconds: Seconds = 3600
    """How long a container knows which requests it has run, so as not to run one again."""

    @property
    def variables(self) -> dict[str, str]:
        """The same as environment variables."""
        values = ((setting.variable, getattr(self, setting.name)) for setting in self.settings())
        return {variable: str(value) for variable, value in values if value is not None}


@dataclass(frozen=True)
class Limits(Settings):
    """How large a value may be on its way back; the server sends them along and enforces them on what it receives."""

    result_bytes: Bytes = 128 * 1024 * 1024
    """Size of one result."""
    result_values: Annotated[int, Number(1, unit="values")] = 1_000_000
    """Values in one result (a NumPy scalar counts as seven, its fields): bounds the memory that small values take."""
    result_depth: Annotated[int, Number(1, unit="levels")] = 48
    """How deep the values of one result may be nested."""
    image_pixels: Annotated[int, Number(1, unit="pixels")] = 128 * 1024 * 1024
    """Height times width of one image."""
    output_chars: Characters = 64 * 1024
    """Characters kept of each of stdout and stderr."""
    message_chars: Characters = 16 * 1024
    """Characters kept of an exception's message."""
    traceback_frames: Annotated[int, Number(1, unit="frames")] = 50
    """Frames kept of an exception's traceback."""

    @property
    def answer_bytes(self) -> int:
        """The largest answer: a result, the structure around its values, and what was printed."""
        return self.result_bytes + 32 * self.result_values + 16 * self.output_chars


@dataclass(frozen=True)
class ServerSettings(Settings):
    """How the inference server calls."""

    step_seconds: Seconds = 20
    """For each step of handing a call to the control plane, such as looking the app up."""
    call_grace_seconds: Seconds = 30
    """Waiting for an answer beyond the start and run limits of the container, before the call is given up."""
    validation_cache_entries: Annotated[int, Number(1, unit="entries")] = 1024
    """Blocks whose code is known to be valid, and isn't validated again."""
    strict_version: bool = False
    """Whether a sandbox with another inference version than the server's is an error, rather than a warning."""

    def call_seconds(self, app: AppSettings) -> int:
        """The longest that a call may take before the server gives up on it."""
        return app.startup_timeout_seconds + app.timeout_seconds + self.call_grace_seconds


GROUPS: tuple[type[Settings], ...] = (AppSettings, WebSettings, Limits, ServerSettings)


def check_environment(environ: Mapping[str, str] = os.environ) -> None:
    """Checks the variables of every group.

    Raises:
        SettingsError: as `Settings.from_environment`, for all groups at once.
    """
    _read(environ, *GROUPS)


def parse_value(name: str, text: str, annotation: Any) -> Any:
    """The value that `text`, given as `name`, stands for, of a kind that a setting may have.

    Raises:
        SettingsError: it stands for none.
    """
    return _parse(name, text, kind_of(annotation)[0])


def _parse(name: str, text: str, kind: Kind) -> Any:
    try:
        return kind.parse(text)
    except ValueError:
        raise SettingsError(f"{name}={text!r} must be {kind.allowed}") from None


def _read(environ: Mapping[str, str], *groups: type[Settings]) -> dict[str, Any]:
    """The values that the environment has for the groups' settings, by name."""
    values, errors = {}, []
    for setting in (setting for group in groups for setting in group.settings()):
        if setting.variable in environ:
            try:
                values[setting.name] = setting.parse(environ[setting.variable])
            except SettingsError as error:
                errors.append(str(error))
    known = [ENVIRONMENT_PREFIX + field.name.upper() for group in GROUPS for field in fields(group)]
    for variable in sorted(environ):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in known:
            from difflib import get_close_matches  # noqa: PLC0415 - takes time, and is needed in this case only

            similar = get_close_matches(variable, known, 1)
            errors.append(f"{variable} is no setting" + (f"; did you mean {similar[0]}?" if similar else ""))
    if errors:
        raise SettingsError("\n".join(errors))
    return values


if __name__ == "__main__":
    from modal_app.settings_schema import main

    sys.exit(main())
