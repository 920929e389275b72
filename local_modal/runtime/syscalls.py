"""The system calls that Python has no function for, by ctypes: mounts, namespaces, capabilities, Landlock, seccomp.

Each raises OSError with the name of what failed. Constants are the kernel's (uapi headers). Standard library only:
runs in the image's interpreter too.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_libc = ctypes.CDLL(None, use_errno=True)

NAMESPACES = {
    "user": 0x1000_0000,
    "mount": 0x0002_0000,
    "pid": 0x2000_0000,
    "network": 0x4000_0000,
    "ipc": 0x0800_0000,
    "uts": 0x0400_0000,
    "cgroup": 0x0200_0000,
}
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_LANDLOCK_WITH_TCP, _LANDLOCK_WITH_SCOPES = 4, 6
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
_PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 28, 38, 47
_LAST_CAPABILITY = 40
_CAPABILITY_VERSION_3 = 0x2008_0522
_SECURE_ALL_LOCKED = 0x2F


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(what: str, number: int, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments), what)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    def encoded(text: str | None) -> bytes | None:
        return None if text is None else os.fsencode(text)

    result = _libc.mount(encoded(source), encoded(target), encoded(kind), ctypes.c_ulong(flags), encoded(data))
    _check(result, f"mount {kind or source or ''} on {target}")


def open_tree(path: str) -> int:
    """A detached copy of the mounts at `path`, submounts included, as a descriptor for `attach`."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    return _syscall(f"open_tree {path}", _OPEN_TREE, _AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags))


def restrict_tree(descriptor: int, attributes: int, *, recursive: bool = True) -> None:
    """Adds mount attributes (ATTR_*) to a tree, submounts included. Never takes one away."""
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    attr = struct.pack("QQQQ", attributes, 0, 0, 0)
    _syscall("mount_setattr", _MOUNT_SETATTR, descriptor, b"", ctypes.c_uint(flags), attr, ctypes.c_size_t(len(attr)))


def attach(descriptor: int, target: str) -> None:
    _syscall(
        f"move_mount to {target}",
        _MOVE_MOUNT,
        descriptor,
        b"",
        _AT_FDCWD,
        os.fsencode(target),
        ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
    )


def pivot_to_working_directory() -> None:
    """The working directory (a mount point) becomes the root; the old root is gone for good."""
    _syscall("pivot_root", _PIVOT_ROOT[platform.machine()], b".", b".")
    _check(_libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")


def unshare(*namespaces: str) -> None:
    flags = sum(NAMESPACES[name] for name in namespaces)
    _check(_libc.unshare(ctypes.c_int(flags)), f"unshare {' '.join(namespaces)}")


def enter_pid_namespace(descriptor: int) -> None:
    """Children that are forked from now on are born in that pid namespace."""
    _check(_libc.setns(descriptor, NAMESPACES["pid"]), "setns pid")


def map_ids(inside: int, uid: int, gid: int, proc_self: str = "/proc/self") -> None:
    """In a fresh user namespace: `inside` stands for the host's `uid` and `gid`; no other id exists."""
    for name, value in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside} {uid} 1"),
        ("gid_map", f"{inside} {gid} 1"),
    ):
        descriptor = os.open(f"{proc_self}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)


def set_hostname(name: str) -> None:
    raw = name.encode()
    _check(_libc.sethostname(raw, len(raw)), "sethostname")


def die_with_parent(signal_number: int) -> None:
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "PR_SET_PDEATHSIG")


def set_dumpable(dumpable: bool) -> None:
    _check(_libc.prctl(_PR_SET_DUMPABLE, int(dumpable), 0, 0, 0), "PR_SET_DUMPABLE")


def drop_capabilities() -> None:
    """Bounding and ambient sets emptied, securebits locked, then no capability left in any set."""
    for capability in range(_LAST_CAPABILITY + 1):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _libc.prctl(_PR_CAP_AMBIENT, 4, 0, 0, 0)
    _check(_libc.prctl(_PR_SET_SECUREBITS, _SECURE_ALL_LOCKED, 0, 0, 0), "PR_SET_SECUREBITS")
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, bytes(24)), "capset")


def no_new_privileges() -> None:
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")


def load_filter(program: bytes) -> None:
    """Loads a seccomp filter for this thread and all that it starts. `program`: an array of struct sock_filter."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    _check(_libc.prctl(_PR_SET_SECCOMP, 2, fprog, 0, 0), "seccomp filter")


def landlock_abi() -> int:
    """Landlock's version; 0 where the kernel has none (not built in, or off at boot)."""
    version: int = _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(0, version)


def landlock(rules: list[tuple[str, int]], scopes: int, *, network: bool) -> None:
    """Allows exactly `rules` (path, rights below it) and, without `network`, no TCP bind or connect; applies `scopes`.
    All as far as the kernel's ABI knows them. Needs no_new_privs."""
    abi = landlock_abi()
    if not abi:
        raise OSError("Landlock is missing in this kernel")
    rights = (1 << _LANDLOCK_FILE_RIGHTS.get(abi, 16)) - 1
    attr = struct.pack("Q", rights)
    if abi >= _LANDLOCK_WITH_TCP:
        attr += struct.pack("Q", 0 if network else 0b11)
    if abi >= _LANDLOCK_WITH_SCOPES:
        attr += struct.pack("Q", scopes)
    ruleset = _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, attr, ctypes.c_size_t(len(attr)), ctypes.c_uint(0))
    for path, allowed in rules:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", allowed & rights, descriptor)
        _syscall(f"landlock rule for {path}", _LANDLOCK_ADD, ruleset, 1, rule, ctypes.c_uint(0))
        os.close(descriptor)
    _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT, ruleset, ctypes.c_uint(0))
    os.close(ruleset)
