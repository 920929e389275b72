"""Every name, limit and version of the app: the one place where they stand.

Standard library only and cheap to import: the build tools, the tests and the container read it too. A version changes
here and nowhere else. Limits that an operator may need to change are fields of a frozen dataclass; each of them can be
set by the environment variable `CUSTOM_BLOCKS_<FIELD>` (so `CUSTOM_BLOCKS_TIMEOUT_SECONDS=40`), which must then hold
for the deploy and for the server alike.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_type_hints

INFERENCE_VERSION = "1.8.3"
MODAL_VERSION = "1.6.4"
UV_VERSION = "0.13.9"
PYTHON_VERSION = "3.11"

CONTRACT_VERSION = 1
"""Version of what a request and a response look like; caller and container must agree on it."""

APP_NAME = "inference-custom-blocks"
EXECUTOR_CLASS = "Executor"
ANONYMOUS_ALIASES = frozenset({"", "anonymous", "unauthorized"})
"""Workspace ids that stand for "nobody", beside the one that MODAL_ANONYMOUS_WORKSPACE_NAME gives."""

ENVIRONMENT_PREFIX = "CUSTOM_BLOCKS_"


class SettingsError(ValueError):
    """An environment variable holds a value that its setting can't take."""


@dataclass(frozen=True)
class Settings:
    """Base of the groups below: builds a group from its defaults and the environment."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The defaults, overridden by `CUSTOM_BLOCKS_<FIELD>`.

        Raises:
            SettingsError: a value isn't a positive whole number, or isn't one of the choices.
        """
        types = get_type_hints(cls)
        overrides = {}
        for field in fields(cls):
            variable = ENVIRONMENT_PREFIX + field.name.upper()
            if variable in environ:
                overrides[field.name] = _parse(variable, environ[variable], types[field.name])
        return cls(**overrides)


@dataclass(frozen=True)
class AppSettings(Settings):
    """What the deployed class is; read at deploy time. Times are seconds."""

    timeout_seconds: int = 20
    startup_timeout_seconds: int = 300
    scaledown_window_seconds: int = 30
    region: str = "us-central1"
    torch: Literal["auto", "cpu", "default"] = "auto"
    """Wheels of torch in the image: the CPU build, the default index's, or the CPU build where its index answers."""


@dataclass(frozen=True)
class Limits(Settings):
    """How large a value may be on its way back; the server sends them along and enforces them on what it receives."""

    result_bytes: int = 128 * 1024 * 1024
    result_values: int = 1_000_000
    """Values in one result (a NumPy scalar counts as seven, its fields): bounds the memory that small values take."""
    result_depth: int = 48
    image_pixels: int = 128 * 1024 * 1024
    """Height times width of one image."""
    output_chars: int = 64 * 1024
    """Characters kept of each of stdout and stderr."""
    message_chars: int = 16 * 1024
    """Characters kept of an exception's message."""
    traceback_frames: int = 50

    @property
    def answer_bytes(self) -> int:
        """The largest answer: a result, the structure around its values, and what was printed."""
        return self.result_bytes + 32 * self.result_values + 16 * self.output_chars


@dataclass(frozen=True)
class ServerSettings(Settings):
    """How the inference server calls. Times are seconds."""

    step_seconds: int = 20
    """For each step of handing a call to the control plane, such as looking the app up."""
    call_grace_seconds: int = 30
    """Waiting for an answer beyond the start and run limits of the container, before the call is given up."""
    validation_cache_entries: int = 1024

    def call_seconds(self, app: AppSettings) -> int:
        """The longest that a call may take before the server gives up on it."""
        return app.startup_timeout_seconds + app.timeout_seconds + self.call_grace_seconds


def _parse(variable: str, text: str, kind: Any) -> Any:
    if kind is int:
        if not text.isascii() or not text.isdecimal() or int(text) <= 0:
            raise SettingsError(f"{variable}={text!r} must be a positive whole number")
        return int(text)
    if kind is str:
        if not text:
            raise SettingsError(f"{variable} is empty: set a value or unset it")
        return text
    choices = kind.__args__
    if text not in choices:
        raise SettingsError(f"{variable}={text!r} must be one of {', '.join(choices)}")
    return text
