"""What a container is started from, and how it ends: the data between the scheduler and the runtime."""

from __future__ import annotations

import signal as signals
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from modal_proto import api_pb2

from local_modal.runtime.policy import Limits, Policy


@dataclass(frozen=True)
class Bind:
    """A file or folder of the machine, read only at `target` (absolute) in the container: a mounted source."""

    source: Path
    target: str


class Streams(NamedTuple):
    """Descriptors that a process writes its output to; they may be the same."""

    stdout: int
    stderr: int


@dataclass(frozen=True)
class LaunchSpec:
    """Everything that one zygote (= one function definition), or one direct container, needs.

    Nothing of the machine's own environment is inherited: `env` is all that there is, but for what the runtime adds
    (thread counts and allocator settings as defaults; HOME, TMPDIR and MODAL_SERVER_URL always).
    """

    python: Path
    """The image's interpreter (…/venv/bin/python)."""
    read_only: tuple[Path, ...]
    """Folders of the image, visible at their own path; the interpreter's base installation is found."""
    binds: tuple[Bind, ...]
    env: Mapping[str, str] = field(repr=False)
    """MODAL_*, the image's ENV, the function's secrets."""
    container_arguments: bytes = field(repr=False)
    """Serialised api_pb2.ContainerArguments."""
    snapshot: bool
    """The function has memory snapshots: fork at Modal's snapshot point. Needs `checkpoint_id` in the arguments."""
    hide_params: bool
    """One zygote for every set of class parameters: they are known only when a container is assigned."""
    stem: bool = False
    """Stop before the snapshot hooks: forks of it are zygotes, each with parameters of its own (`Zygote.branch`)."""
    rest_seconds: float = 60.0
    """With a snapshot: how long the process that forks containers stays with none of them there."""
    limits: Limits = field(default_factory=Limits)
    network: bool = False
    """False: a network namespace with nothing in it. True: the machine's own network, outgoing only; that reaches
    whatever this machine reaches, its own services included."""
    policy: Policy = field(default_factory=Policy)
    """Layers that are on: all, but for those that an operator does without by name (`Isolation.policy`)."""

    def prepared(self) -> LaunchSpec:
        """The same with arguments that the entrypoint can start with: parameters to be hidden get placeholders.

        Raises:
            ValueError: no function can be started from these arguments.
        """
        arguments = api_pb2.ContainerArguments.FromString(self.container_arguments)
        function = arguments.function_def
        if self.snapshot and not (function.is_checkpointing_function and arguments.checkpoint_id):
            raise ValueError("a snapshot needs a function with enable_memory_snapshot, and a checkpoint_id")
        if not self.hide_params:
            return self
        if not self.snapshot:
            raise ValueError("only a snapshot can hide parameters: a direct container knows its own")
        if not function.class_parameter_info.schema:
            return replace(self, hide_params=False)
        arguments.serialized_params = placeholders(function.class_parameter_info).SerializeToString()
        return replace(self, container_arguments=arguments.SerializeToString())


def placeholders(info: api_pb2.ClassParameterInfo) -> api_pb2.ClassParameterSet:
    """A value of the right type for each parameter of a class; no code ever sees them.

    Raises:
        ValueError: the parameters are pickled (a class with a constructor of its own), so nothing can stand for them.
    """
    if info.format != api_pb2.ClassParameterInfo.PARAM_SERIALIZATION_FORMAT_PROTO:
        raise ValueError("parameters of a class with its own constructor can't be hidden: start one zygote per set")
    values = api_pb2.ClassParameterSet()
    for parameter in info.schema:
        kind = parameter.full_type.base_type or parameter.type
        value = values.parameters.add(name=parameter.name, type=kind)
        if kind == api_pb2.PARAM_TYPE_STRING:
            value.string_value = ""
        elif kind == api_pb2.PARAM_TYPE_INT:
            value.int_value = 0
        elif kind == api_pb2.PARAM_TYPE_BOOL:
            value.bool_value = False
        elif kind == api_pb2.PARAM_TYPE_BYTES:
            value.bytes_value = b""
        else:
            raise ValueError(f"parameter {parameter.name} has a type that can't be hidden: start one zygote per set")
    return values


@dataclass(frozen=True)
class ExitStatus:
    """How a container ended: an exit code, or the signal that killed it, or neither where nobody saw it; CPU time in
    seconds where known."""

    code: int | None
    signal: int | None
    cpu_seconds: float = 0.0

    @classmethod
    def from_wait(cls, status: int, cpu_seconds: float = 0.0) -> ExitStatus:
        """From a wait(2) status."""
        low = status & 0x7F
        if low:
            return cls(None, low, cpu_seconds)
        return cls(status >> 8 & 0xFF, None, cpu_seconds)

    def __str__(self) -> str:
        if self.signal is None and self.code is None:
            return "exit status unknown"
        if self.signal is None:
            return f"exit status {self.code}"
        try:
            return f"killed by {signals.Signals(self.signal).name}"
        except ValueError:
            return f"killed by signal {self.signal}"


class ZygoteFailed(Exception):
    """A zygote ended, or never came to its snapshot point.

    `exit_status` is its exit code where it has one; `unshareable`: a snapshot hook read a class parameter, so start it
    again with the parameters known (`hide_params=False`).
    """

    def __init__(self, reason: str, exit_status: int | None = None, *, unshareable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exit_status = exit_status
        self.unshareable = unshareable

    @property
    def killed(self) -> bool:
        """Somebody ended it, or the kernel for want of memory: it may well start another time."""
        ends = (signals.SIGKILL, signals.SIGTERM)
        return self.exit_status in {*(-end for end in ends), *(128 + end for end in ends)}
