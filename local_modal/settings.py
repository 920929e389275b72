"""Every setting of local Modal, with its default, its unit and the environment variable that changes it."""

import dataclasses
import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local_modal.errors import LocalModalError

MIB = 1 << 20
PREFIX = "LOCAL_MODAL_"
CLIENT_VERSION = importlib.metadata.version("modal")
"""The modal client installed beside local Modal: its protocol is served, and containers run it."""
CLIENT_VERSIONS = ("1.6.0", "1.6.1", "1.6.2", "1.6.3", "1.6.4")
"""Versions of the client that may call: those that the contract tests run with, the oldest first."""


def _directory(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / "local-modal"


def _default_home() -> Path:
    return _directory("XDG_STATE_HOME", ".local/state")


def _default_cache() -> Path:
    return _directory("XDG_CACHE_HOME", ".cache")


class Address(str):
    """An address as a client takes it: scheme, host and port, with nothing after them."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Raises ValueError where the text is anything else."""
        try:
            parts = urlsplit(text)
            complete = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            complete = False
        if not complete or parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("must be an address such as http://127.0.0.1:9171")
        return cls(f"{parts.scheme}://{parts.netloc}")


AT_LEAST_ONE = frozenset({"keep_versions"})
"""Settings of which 0 makes no sense."""


@dataclass(frozen=True)
class Settings:
    """Settings of one control plane. `LOCAL_MODAL_<NAME>` in the environment overrides `name`."""

    home: Path = field(default_factory=_default_home)
    """What must survive a restart: the store, credentials, logs, uploaded files."""
    cache: Path = field(default_factory=_default_cache)
    """Built images; safe to delete while local Modal is stopped."""
    bind: str = "127.0.0.1"
    """Address to listen on. Anything but loopback is an explicit choice."""
    port: int = 9171
    advertised_url: Address = field(default_factory=Address)
    """Where clients reach it, when that isn't the address that it listens on: a published port, a proxy."""
    workspace: str = "local"
    """Name of the workspace that the account's token belongs to."""
    environment: str = "main"
    """The default environment, made at the first start."""
    prefork: int = 2
    """Containers forked ahead of calls, for each single-use function with a snapshot (count)."""
    max_containers: int = 64
    """Containers that run at once over all functions (count)."""
    max_starting: int = max(2, os.cpu_count() or 2)
    """Containers that start at once; more only take the processor from one another (count)."""
    container_uid: int = 60001
    """User id of containers where local Modal itself runs as root."""
    memory_mib: int = 1024
    """Memory of a container beyond its snapshot, where the function doesn't say (MiB)."""
    scratch_mib: int = 64
    """Writable scratch space of a container (MiB)."""
    processes: int = 64
    """Threads of a container (count)."""
    start_deadline: float = 60.0
    """From being given an input to asking for it, where the function's startup_timeout isn't less (s)."""
    startup_timeout: float = 300.0
    """From start to snapshot or first input, where the function doesn't say (s)."""
    cancel_grace: float = 3.0
    """How long a cancelled container may take to answer before it is killed (s)."""
    exit_grace: float = 5.0
    """How long a single-use container may run after its answer, for its `@exit` hooks (s)."""
    max_input_bytes: int = 512 * MIB
    """Largest argument of a call (bytes)."""
    max_inline_bytes: int = 64 * MIB
    """Arguments up to this travel inside the call, larger ones as blobs; of 6 MB, a blob is no faster and takes the
    client twice the processor time (bytes)."""
    max_output_bytes: int = 256 * MIB
    """Everything that one container may send for one input (bytes)."""
    max_log_bytes: int = MIB
    """Printed output kept for one container; what follows is counted, not kept (bytes)."""
    result_ttl: float = 3600.0
    """How long a finished call's results wait for their caller (s)."""
    blob_ttl: float = 3600.0
    """How long uploaded arguments are kept (s)."""
    max_blobs_mib: int = 8192
    """Of all uploaded arguments within that time; beyond it the next upload is refused (MiB)."""
    web_requests: int = 512
    """Requests and WebSocket connections of web endpoints at once (count)."""
    web_line_bytes: int = 16384
    """Longest request line, and longest header, of a request to a web endpoint (bytes)."""
    web_request_mib: int = 4096
    """Largest body of a request to a web endpoint (MiB)."""
    web_response_mib: int = 4096
    """Largest body of a web endpoint's response (MiB)."""
    web_message_mib: int = 16
    """Largest WebSocket message that a client may send to a web endpoint (MiB)."""
    web_idle: float = 60.0
    """How long a client may send nothing of its body, or take nothing of its answer (s)."""
    web_queue: float = 150.0
    """How long a request may wait for a container, beside the time that one takes to start (s)."""
    build_timeout: float = 3600.0
    """Of one command of an image build (s)."""
    provided_packages: tuple[str, ...] = ()
    """System packages to take as installed when images are built (machines without dpkg)."""
    log_rows: int = 200_000
    """Log lines kept over all apps (count)."""
    keep_days: int = 30
    """What is in no deployment that is kept, and unused for so long, goes; so do stopped apps and logs (days)."""
    keep_versions: int = 100
    """Deployments of an app that can be rolled back to, the live one included (count, at least 1)."""
    keep_results_mib: int = 1024
    """Results of spawned calls, until their time is over; beyond it the oldest go (MiB)."""
    keep_log_mib: int = 16
    """The end of the control plane's own log (MiB)."""
    allow_missing: tuple[str, ...] = ()
    """Isolation layers that may be missing on this machine, by name; none by default."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: object) -> "Settings":
        """Settings from `LOCAL_MODAL_*`, then `overrides` (None means: not given).

        Raises:
            LocalModalError: every wrong value at once, each with its name and what is allowed.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        problems: list[str] = []
        for setting in dataclasses.fields(cls):
            variable = PREFIX + setting.name.upper()
            given = environ.get(variable)
            if not given:
                continue
            try:
                values[setting.name] = _parse(setting.type, given, least=int(setting.name in AT_LEAST_ONE))
            except ValueError as error:
                problems.append(f"{variable}={given!r}: {error}")
        values.update({name: value for name, value in overrides.items() if value is not None})
        if problems:
            raise LocalModalError("Wrong settings:\n  " + "\n  ".join(problems))
        return cls(**values)

    @property
    def url(self) -> str:
        """Where clients on this machine reach the control plane, beside it."""
        host = "127.0.0.1" if self.bind in {"0.0.0.0", "::"} else self.bind  # noqa: S104 - compared, not bound
        return f"http://{host}:{self.port}"


def _parse(kind: Any, text: str, *, least: int = 0) -> object:
    if kind is int:
        return _number(int, text, "a whole number", least)
    if kind is float:
        return _number(float, text, "a number")
    if kind is Address:
        return Address.parse(text)
    if kind is Path:
        return Path(text).expanduser().absolute()
    if kind == tuple[str, ...]:
        return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)
    return text


def _number(kind: type[int] | type[float], text: str, what: str, least: int = 0) -> int | float:
    try:
        number = kind(text)
    except ValueError:
        raise ValueError(f"must be {what}") from None
    if not least <= number < float("inf"):
        raise ValueError(f"must be {what}, {least} or more")
    return number
