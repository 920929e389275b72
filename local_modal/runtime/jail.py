"""The inner jail: what a container enters between its fork and its first line of user code.

Called on the only thread of a fresh fork that is pid 1 of its pid namespace. Each step that fails raises: a layer that
the policy asks for is there, or the container doesn't run. Standard library only: runs in the image's interpreter.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import policy
from . import syscalls as sc
from .policy import Limits, Policy

_FAR = 1 << 20


@dataclass(frozen=True)
class Footprint:
    """Memory of the zygote at the fork (bytes): a container's limits count from there."""

    data: int
    address_space: int

    @classmethod
    def of_this_process(cls) -> Footprint:
        values: dict[str, int] = {}
        for line in Path("/proc/self/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in {"VmData", "VmSize"}:
                values[key] = int(value.split()[0]) << 10
        return cls(data=values["VmData"], address_space=values["VmSize"])

    def with_imports(self) -> Footprint:
        """The same plus what imports may map, where they happen in the container itself."""
        return Footprint(
            data=self.data + policy.DIRECT_DATA_BYTES,
            address_space=self.address_space + policy.DIRECT_ADDRESS_SPACE_BYTES,
        )


@dataclass(frozen=True)
class Jail:
    """Everything that `enter` needs; made before the fork."""

    rules: Policy
    limits: Limits
    seccomp_filter: bytes
    network: bool
    footprint: Footprint

    def on(self, layer: str) -> bool:
        return layer in self.rules.layers


def enter(jail: Jail, keep: Iterable[int]) -> None:
    """Enters the jail; of the open descriptors only 0-2 and `keep` remain.

    Raises:
        OSError: a layer can't be had here; the message names the step.
    """
    os.setsid()
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.close(null)
    if jail.on("closed-descriptors"):
        close_all_but(keep)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    enter_namespaces(jail)
    if jail.on("limits"):
        set_limits(jail)
    if jail.on("no-capabilities"):
        sc.drop_capabilities()
        sc.set_dumpable(False)
    sc.no_new_privileges()
    if jail.on("landlock"):
        read = [("/", policy.LANDLOCK_READ)]
        write = [(policy.SCRATCH, policy.LANDLOCK_SCRATCH), ("/dev/null", policy.LANDLOCK_NULL)]
        sc.landlock(read + write, policy.SCOPES_NOTHING_OUTSIDE, network=jail.network)
    if jail.on("seccomp"):
        sc.load_filter(jail.seccomp_filter)


def close_all_but(keep: Iterable[int]) -> None:
    start = 3
    for descriptor in [*sorted(keep), _FAR]:
        if descriptor > start:
            os.closerange(start, descriptor)
        start = descriptor + 1


def enter_namespaces(jail: Jail) -> None:
    """Fresh namespaces, an own scratch and the cover of /proc. All mounts of before are locked from here on."""
    kinds = ["user", "mount"]
    kinds += [kind for kind in ("ipc", "uts", "cgroup") if jail.on(f"{kind}-namespace")]
    if jail.on("network-namespace") and not jail.network:
        kinds.append("network")
    sc.unshare(*kinds)
    sc.map_ids(policy.INSIDE_UID, 0, 0)
    flags = sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC
    size = f"size={jail.limits.scratch_bytes},nr_inodes={policy.SCRATCH_INODES},mode=700"
    sc.mount("tmpfs", policy.SCRATCH, "tmpfs", flags, size)
    if jail.on("hidden-proc"):
        sc.mount(policy.PROC_COVER, "/proc", None, sc.MS_BIND | sc.MS_REC)
    os.chdir(policy.SCRATCH)


def set_limits(jail: Jail) -> None:
    limits, footprint = jail.limits, jail.footprint
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 64),
        (resource.RLIMIT_STACK, policy.STACK_BYTES),
        (resource.RLIMIT_DATA, footprint.data + limits.memory_bytes),
        (resource.RLIMIT_AS, footprint.address_space + limits.memory_bytes + policy.ADDRESS_SPACE_SLACK),
    ):
        resource.setrlimit(kind, (value, value))
