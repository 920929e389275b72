"""What pools and snapshots need of the control plane around them."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modal_proto import api_pb2

from local_modal.runtime.zygote import LaunchSpec
from local_modal.scheduler.calls import Input
from local_modal.scheduler.logs import LogWriter
from local_modal.scheduler.scaling import Scaling
from local_modal.scheduler.task import Connection, Definition, Task
from local_modal.settings import Settings
from local_modal.store.functions import BoundFunction


class StartError(Exception):
    """A container could not start; `result` is what its callers get."""

    def __init__(self, result: api_pb2.GenericResult) -> None:
        super().__init__(result.exception)
        self.result = result


class UnshareableError(Exception):
    """A snapshot hook reads class parameters, so each set of parameters needs a snapshot of its own."""


@dataclass(eq=False)
class Capacity:
    """What all pools share of the machine (counts of containers)."""

    max_containers: int
    max_starting: int
    running: int = 0
    starting: int = 0

    @property
    def free(self) -> bool:
        """Whether one more container may start for an input."""
        return self.starting < self.max_starting and self.running < self.max_containers


class Host(Protocol):
    """Implemented by the scheduler."""

    settings: Settings
    capacity: Capacity
    log_writer: LogWriter
    run_dir: Path
    scaling: Scaling

    async def serve(self, task: Task, end: socket.socket) -> Connection:
        """Answer the RPCs that come over a task's socket."""
        ...

    async def launch_spec(self, task: Task, bound: BoundFunction, *, shared: bool) -> LaunchSpec:
        """Everything that a container of the task's definition is started with."""
        ...

    def ended(self, task: Task) -> None:
        """A container is gone."""

    def finish(self, entry: Input, result: api_pb2.GenericResult) -> None:
        """Answer an input without its container."""

    def unshareable(self, definition: Definition, pending: list[Input]) -> None:
        """From now on, a pool for each set of parameters; the inputs go there."""

    def released(self) -> None:
        """There may be room for other pools' inputs."""
