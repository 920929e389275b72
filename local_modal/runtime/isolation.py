"""Which layers of the sandbox work on this machine, and what to do about those that don't.

Nothing is guessed from versions: `probe` builds a real jail and enters it once per layer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local_modal.errors import LocalModalError
from local_modal.runtime.bpf import compile_filter
from local_modal.runtime.builder import BOOT
from local_modal.runtime.policy import LAYERS, Policy

ESSENTIAL = "namespaces"
"""User, mount and pid namespaces with a tree of their own: nothing runs without them, so nobody can do without."""
PROBE_SECONDS = 30.0
OUTER_PROC = (
    "the one of local Modal, as the kernel gives no fresh one where parts of /proc are masked: it sees which other "
    "processes there are, not what is in them (in a container, --security-opt systempaths=unconfined unmasks it)"
)


class IsolationError(LocalModalError):
    """A layer that is missing and wasn't given up by name; the text says what to do."""


@dataclass(frozen=True)
class Isolation:
    """What `probe` found. `missing`: layer → why, and what to do."""

    active: tuple[str, ...]
    missing: Mapping[str, str]
    user: str
    """As whom containers run on the host."""
    landlock_abi: int
    snapshot_proc: str = "its own"
    """Which /proc code of a snapshot sees; a container that serves an input sees none."""
    aggregate_limits: str = (
        "rlimits and tmpfs sizes per container; a container is one process, so they bound it as a whole. No cgroup: "
        "all containers together may use their limit times their number"
    )

    def policy(self, allow_missing: Iterable[str] = (), *, uid: int = Policy.uid) -> Policy:
        """The policy to start containers with: every layer, but for missing ones that are named.

        Raises:
            IsolationError: another layer is missing, or a name isn't a layer.
        """
        allowed = set(allow_missing)
        if unknown := allowed - set(LAYERS):
            raise IsolationError(
                f"no such isolation layer: {', '.join(sorted(unknown))}; those that can be done without are "
                + ", ".join(LAYERS)
            )
        if refused := {layer: what for layer, what in self.missing.items() if layer not in allowed}:
            lines = [f"  {layer}: {what}" for layer, what in refused.items()]
            advice = "" if ESSENTIAL in refused else "\nTo run with less isolation, name what you do without."
            raise IsolationError("This machine can't isolate containers fully:\n" + "\n".join(lines) + advice)
        return Policy(uid=uid).without(*(allowed & set(self.missing)))


def probe(*, uid: int = Policy.uid) -> Isolation:
    """Tries every layer (takes about 0.2 s). `uid`: what containers run as where we are root."""
    user = f"uid {uid} (this is root)" if os.geteuid() == 0 else f"uid {os.geteuid()} (as this process)"
    try:
        program = compile_filter().hex()
    except ValueError as error:
        return Isolation((), {ESSENTIAL: str(error)}, user, 0)
    code = BOOT + "from local_modal_jail.trial import main; main()"
    command = [sys.executable, "-I", "-S", "-c", code, str(Path(__file__).parent), program, str(uid)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and program
            command, capture_output=True, check=True, timeout=PROBE_SECONDS, env={}, cwd="/"
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Isolation((), {ESSENTIAL: f"the trial didn't run: {error}"}, user, 0)
    if found["namespaces"]:
        return Isolation((), {ESSENTIAL: f"{found['namespaces']}. {namespace_advice()}"}, user, found["landlock_abi"])
    missing = {layer: f"{error}. {ADVICE.get(layer, '')}".strip() for layer, error in found["failed"].items()}
    for layer in LAYERS:
        if layer not in found["ok"] and layer not in missing:
            missing[layer] = "the trial ended before it. Look for the kernel's message (dmesg)"
    active = (ESSENTIAL, *(layer for layer in LAYERS if layer in found["ok"]))
    proc = OUTER_PROC if found["outer_proc"] else Isolation.snapshot_proc
    return Isolation(active, missing, user, found["landlock_abi"], proc)


ADVICE = {
    "landlock": "It needs Linux 5.13 and `landlock` among the names in the boot parameter lsm=",
    "seccomp": "It needs a kernel with CONFIG_SECCOMP_FILTER",
    "limits": "The hard limits of this session are lower than the container's: raise them (ulimit -H -a)",
}


def namespace_advice(root: Path = Path("/")) -> str:
    """What most likely forbids user namespaces here, and what allows them. `root`: where /proc and / are looked at."""

    def setting(name: str) -> str:
        try:
            return (root / "proc/sys" / name).read_text().strip()
        except OSError:
            return ""

    if setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor restricts user namespaces here (Ubuntu 23.10 and later). Allow them with "
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or run local Modal as root"
        )
    if setting("kernel/unprivileged_userns_clone") == "0":
        return "Allow user namespaces with `sudo sysctl kernel.unprivileged_userns_clone=1`, or run local Modal as root"
    if setting("user/max_user_namespaces") == "0":
        return "Allow user namespaces with `sudo sysctl user.max_user_namespaces=15000`, or run local Modal as root"
    if any((root / marker).exists() for marker in (".dockerenv", "run/.containerenv")):
        return (
            "In a container: start it with --security-opt seccomp=docker/local-modal.seccomp.json as a user other than "
            "root, where the engine's machine has AppArmor also with --security-opt apparmor=unconfined; the whole "
            "command is in docs/local-modal.md"
        )
    return "It needs Linux 5.14 with user namespaces (CONFIG_USER_NS), and no security module that forbids them"
