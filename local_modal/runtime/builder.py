"""Builds the outer jail and starts the image's interpreter in it. Run by the control plane's own interpreter.

    control plane ── this process (waits) ── pid 1 of a pid namespace (reaps, watches) ── pid 2: the image's Python

Two steps. First a mount namespace in which the tree is laid out (as root directly; else in a user namespace of our
own). Then, as an unprivileged uid, the final user, mount, pid, network, IPC, UTS and cgroup namespaces: since that user
namespace is another one, every mount made before is locked for what runs in it. pid 2 is the launcher; a fork of it is
pid 1 of a namespace again, so checks for "did my pid change" hold.

The tree dies with the control plane: pid 1 leaves as soon as the control socket's other end is closed, and the kernel
kills whatever is left in its pid namespace. It leaves too when no process is left that can fork containers.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from . import policy
from . import syscalls as sc
from .first import exit_code, watch
from .policy import PROC_COVER, Policy
from .tree import ARGUMENTS, LAUNCHER, ROOT, Tree, interpreter_paths

BOOT = (
    "import sys, types; p = types.ModuleType('local_modal_jail'); p.__path__ = [sys.argv[1]]; "
    "sys.modules[p.__name__] = p; "
)
"""Makes this folder importable as `local_modal_jail`: without the control plane's packages, without sys.path."""
INSIDE = (
    "policy.py",
    "syscalls.py",
    "jail.py",
    "memory.py",
    "first.py",
    "forkserver.py",
    "forked.py",
    "branch.py",
    "payload.py",
    "modal_seam.py",
    "launcher.py",
)
"""The modules that run inside the image's interpreter: the standard library and modal only."""
SETUP_FAILED = 78
"""Exit status when a jail could not be built; the reason went over the control socket."""


def main() -> NoReturn:
    """argv: folder of these modules, descriptors of the plan (JSON), the launcher's own settings, control socket."""
    plan_fd, inner_fd, ctl_fd = (int(argument) for argument in sys.argv[2:5])
    ctl = socket.socket(fileno=ctl_fd)
    try:
        with os.fdopen(plan_fd, "rb") as file:
            plan = json.load(file)
        enter_mount_namespace()
        lay_out(plan)
        enter_namespaces(Policy.from_json(plan["policy"]), network=plan["network"])
        first = os.fork()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the control plane must hear of it
        fail(ctl, error)
    if first == 0:
        run_first(plan, inner_fd, ctl)
    ctl.close()
    os.close(inner_fd)
    _, status = os.waitpid(first, 0)
    os._exit(exit_code(status))


def fail(ctl: socket.socket, error: BaseException) -> NoReturn:
    ctl.send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode()[:60_000])
    os._exit(SETUP_FAILED)


def enter_mount_namespace() -> None:
    """A mount namespace in which we may mount: as root as it is, otherwise with a user namespace of our own."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        try:
            sc.unshare("mount")
        except PermissionError as error:
            raise PermissionError(
                f"{error}: root without CAP_SYS_ADMIN can't build a sandbox; run local Modal as an ordinary user "
                "where user namespaces are allowed, or give the container --cap-add SYS_ADMIN"
            ) from error
    else:
        sc.unshare("user", "mount")
        sc.map_ids(0, uid, gid)
    sc.mount("none", "/", None, sc.MS_REC | sc.MS_PRIVATE)


def lay_out(plan: dict[str, Any]) -> None:
    tree = Tree(plan["policy"]["uid"] if _is_host_root() else None)
    tree.show_if_present(policy.READ_SYSTEM)
    python = Path(plan["python"])
    if not python.exists():
        raise FileNotFoundError(f"the image has no interpreter at {python}")
    for path in [*interpreter_paths(python), *plan["read_only"]]:
        tree.show(path)
    tree.show_if_present(policy.SYS_FOLDERS)
    if plan["network"]:
        tree.show_if_present(policy.NETWORK_FILES)
    for source, target in plan["binds"]:
        tree.bind(source, target)
    files = {path: text.encode() for path, text in policy.ETC_FILES.items()}
    files[ARGUMENTS] = bytes.fromhex(plan["container_arguments"])
    here = Path(__file__).parent
    files |= {f"{LAUNCHER}/{name}": (here / name).read_bytes() for name in INSIDE}
    tree.lay_out(files, ["/proc", policy.SCRATCH, PROC_COVER], policy.DEVICES)


def enter_namespaces(rules: Policy, *, network: bool) -> None:
    """The final namespaces, as an unprivileged uid of the host that is root in them and nowhere else."""
    uid = gid = 0
    if _is_host_root():
        uid = gid = rules.uid
        os.setgroups([])
        os.setresgid(rules.uid, rules.uid, rules.uid)
        os.setresuid(rules.uid, rules.uid, rules.uid)
        sc.set_dumpable(True)
    kinds = ["user", "mount", "pid", "ipc", "uts", "cgroup"]
    if not network:
        kinds.append("network")
    sc.unshare(*kinds)
    sc.map_ids(0, uid, gid)


def _is_host_root() -> bool:
    """Root with every uid at hand: not the root of a user namespace that stands for one ordinary user."""
    return os.geteuid() == 0 and int(Path("/proc/self/uid_map").read_text().split()[2]) > 1


def enter_tree() -> None:
    """Makes the laid-out tree the root, with a /proc of this pid namespace and a scratch folder.

    Where parts of the outer /proc are masked, as a container engine does it, the kernel refuses a fresh one. Then the
    zygote has the outer one, masks included: it sees which processes there are outside, and (being in another user
    namespace) nothing of them that isn't world-readable. The jail's cover hides either from a container.
    """
    sc.mount(ROOT, ROOT, None, sc.MS_BIND | sc.MS_REC)
    os.chdir(ROOT)
    try:
        sc.mount("proc", "proc", "proc", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)
    except PermissionError:
        sc.mount("/proc", "proc", None, sc.MS_BIND | sc.MS_REC)
    sc.pivot_to_working_directory()
    flags = sc.MS_NOSUID | sc.MS_NODEV
    sc.mount("tmpfs", policy.SCRATCH, "tmpfs", flags, f"size={policy.ZYGOTE_SCRATCH_BYTES},mode=700")
    sc.mount("tmpfs", PROC_COVER, "tmpfs", flags | sc.MS_NOEXEC, "size=4k,mode=755")
    for name in policy.PROC_FILES:
        Path(PROC_COVER, name).touch()
        sc.mount(f"/proc/{name}", f"{PROC_COVER}/{name}", None, sc.MS_BIND)
    cover = os.open(PROC_COVER, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sc.restrict_tree(cover, sc.ATTR_RDONLY)
    os.close(cover)
    sc.set_hostname(policy.HOSTNAME)
    os.chdir(policy.SCRATCH)


def run_first(plan: dict[str, Any], inner_fd: int, ctl: socket.socket) -> NoReturn:
    """pid 1: starts the launcher, then watches."""
    try:
        sc.die_with_parent(signal.SIGKILL)
        enter_tree()
        alive, announce = os.pipe()
        second = os.fork()
        if second == 0:
            start_launcher(plan, inner_fd, announce, ctl)
    except BaseException as error:  # noqa: BLE001
        fail(ctl, error)
    os.close(inner_fd)
    os.close(announce)
    watch(second, alive, ctl)


def start_launcher(plan: dict[str, Any], inner_fd: int, announce: int, ctl: socket.socket) -> NoReturn:
    """pid 2: becomes the image's interpreter."""
    handed = (inner_fd, announce, ctl.fileno())
    for descriptor in handed:
        os.set_inheritable(descriptor, True)
    program = BOOT + "from local_modal_jail.launcher import main; main()"
    arguments = [plan["python"], "-c", program, LAUNCHER, *map(str, handed)]
    os.execve(plan["python"], arguments, plan["env"])  # noqa: S606 - there is no shell to go through
