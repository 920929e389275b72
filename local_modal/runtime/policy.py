"""THE policy of the sandbox: what code in a container may see, use and call. Nothing else in this package decides that.

Two jails stand in each other. The *zygote* (Modal's entrypoint up to the snapshot point: the app author's imports and
`@enter(snap=True)` hooks) lives in the outer one: its own user, mount, pid, network, IPC, UTS and cgroup namespaces
on a read-only tree. Each *container* (one fork, one input) enters a second one on top: fresh namespaces again,
its own scratch, no capabilities, no_new_privs, Landlock, resource limits, a system call allow-list.

The file is data with a sentence each; it imports the standard library only, since the same file is also read inside
the image's interpreter.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

LAYERS: dict[str, str] = {
    "network-namespace": "a network of its own with nothing in it, not even a loopback that is up",
    "ipc-namespace": "System V and POSIX message queues of its own",
    "uts-namespace": "its own host name",
    "cgroup-namespace": "the host's cgroup paths are hidden",
    "hidden-proc": "/proc is covered, but for cpuinfo and meminfo",
    "closed-descriptors": "every descriptor of the zygote is closed, but for its own connection and payload",
    "limits": "rlimits: memory, file size, descriptors, threads, CPU time, no core dump",
    "no-capabilities": "all capabilities dropped, bounding set empty, securebits locked",
    "landlock": "file access by rule: read the tree, write /scratch; no TCP, no signals or sockets to the outside",
    "seccomp": "system calls by allow-list",
}
"""Layers of a container's jail that can be told apart and, in tests, switched off one by one. The user, mount and pid
namespaces and the read-only tree aren't in the list: nothing works without them."""

READ_SYSTEM: tuple[str, ...] = ("/usr/lib", "/usr/lib64", "/lib", "/lib64")
"""The machine's shared libraries, read only; symbolic links among them are kept. No /usr/bin, no /etc."""

DEVICES: tuple[str, ...] = ("/dev/null", "/dev/urandom")
"""The only devices. No /dev/zero (mapping it shared would be memory that no limit counts), no /dev/shm, no tty."""

PROC_FILES: tuple[str, ...] = ("cpuinfo", "meminfo")
"""What stays readable of /proc: onnxruntime and torch ask for the processor; nothing about other processes."""

SYS_FOLDERS: tuple[str, ...] = ("/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage")
"""Read only: glibc and onnxruntime count processors, malloc asks for huge pages. Nothing else of /sys."""

ETC_FILES: dict[str, str] = {
    "/etc/passwd": "root:x:0:0:root:/scratch:/bin/false\nsandbox:x:1000:1000:sandbox:/scratch:/bin/false\n",
    "/etc/group": "root:x:0:\nsandbox:x:1000:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
"""An /etc of our own: nothing of the machine's users, hosts or services."""

NETWORK_FILES: tuple[str, ...] = ("/etc/resolv.conf", "/etc/ssl", "/usr/share/ca-certificates")
"""Shown in addition where a function is allowed the machine's network."""

PRIVATE = "/.local-modal"
"""Where our own files stand in the tree: the launcher, the container's arguments, the cover of /proc."""
PROC_COVER = f"{PRIVATE}/proc"

HOSTNAME = "sandbox"
SCRATCH = "/scratch"
"""The only writable place: a tmpfs of the container's own, gone with it. /tmp is a link to it; HOME and TMPDIR too."""
INSIDE_UID = 1000
"""The uid that user code sees itself as."""

ZYGOTE_SCRATCH_BYTES = 256 << 20
"""Scratch of the snapshot phase (caches written while importing); containers don't see it."""

SCRATCH_INODES = 4096
"""Files and folders in a container's scratch."""

ADDRESS_SPACE_SLACK = 1 << 30
"""Address space beyond a container's memory limit: thread stacks, allocator arenas, mapped files. Hostile code can make
memory of it that the limit doesn't count (pages written and then made read only; a stack, grown by mremap), so this is
how far a container can go beyond its limit."""

STACK_BYTES = 8 << 20
"""The main thread's stack; no other limit counts what it grows by."""

DIRECT_DATA_BYTES, DIRECT_ADDRESS_SPACE_BYTES = 3 << 29, 8 << 30
"""What imports may map in a container without a snapshot, in addition to its limits (torch with CUDA libraries maps
1.1 GiB private and writable, and touches half of it)."""

SCOPES_NOTHING_OUTSIDE = 0b11
"""Landlock scopes (ABI 6): abstract Unix sockets and signals stay within the container."""

LANDLOCK_READ = 0x4 | 0x8
"""On the whole tree: read a file, list a folder. No execute: nothing may be started."""
LANDLOCK_SCRATCH = 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x80 | 0x100 | 0x2000 | 0x4000
"""On /scratch: write, read, list, remove folder and file, make folder and file, rename across folders, truncate.
No symbolic link, device, socket or fifo can be made."""
LANDLOCK_NULL = 0x2 | 0x4
"""On /dev/null: write and read."""

SYSCALLS_ALWAYS: tuple[str, ...] = tuple(  # a list of a hundred quoted names couldn't be read
    """
    read write readv writev pread64 pwrite64 lseek close close_range dup dup2 dup3 fcntl flock pipe pipe2 eventfd2
    open openat readlink readlinkat getdents64 getcwd chdir fchdir access faccessat faccessat2
    stat lstat fstat newfstatat statx statfs fstatfs
    mkdir mkdirat unlink unlinkat rmdir rename renameat renameat2 truncate ftruncate fallocate fsync fdatasync
    chmod fchmod fchmodat utimensat umask copy_file_range sendfile
    poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait
    munmap mprotect mremap madvise brk msync mincore membarrier
    futex futex_waitv set_robust_list get_robust_list rseq set_tid_address sched_yield sched_getaffinity getcpu
    gettid getpid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getgroups
    getrlimit getrusage sysinfo uname times arch_prctl
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time setitimer getitimer alarm getrandom
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait sigaltstack tgkill restart_syscall
    exit exit_group
    sendto recvfrom getsockopt getsockname
    """.split()  # noqa: SIM905
)
"""Files, memory, threads, clocks, signals to itself, and speaking on sockets that it already has. What isn't listed
fails with EPERM: no exec, fork, ptrace, mount, namespaces, keys, bpf, io_uring, userfaultfd, perf, memfd, links."""


@dataclass(frozen=True)
class Condition:
    """Holds when `(argument[index] & mask) == value`, all 64 bits."""

    index: int
    value: int
    mask: int = 0xFFFF_FFFF_FFFF_FFFF


SYSCALLS_WHEN: tuple[tuple[str, tuple[Condition, ...]], ...] = (
    ("clone", (Condition(0, 0x10000, 0x7E02_0000 | 0x10000),)),  # threads only: CLONE_THREAD, no CLONE_NEW*
    ("mmap", (Condition(3, 0x00, 0x21),)),  # private, of a file ...
    ("mmap", (Condition(3, 0x20, 0x21),)),  # ... or anonymous, ...
    ("mmap", (Condition(3, 0x01, 0x21),)),  # ... shared of a file; never shared and anonymous: no limit counts that
    ("socketpair", (Condition(0, 1), Condition(1, 1, 0xF))),  # AF_UNIX stream: asyncio's self-pipe. No datagrams:
    # such a socket could be sent from to any address
    ("ioctl", (Condition(1, 0x5421),)),  # FIONBIO
    ("ioctl", (Condition(1, 0x5401),)),  # TCGETS: isatty()
    ("ioctl", (Condition(1, 0x541B),)),  # FIONREAD
    ("ioctl", (Condition(1, 0x5450),)),  # FIONCLEX
    ("ioctl", (Condition(1, 0x5451),)),  # FIOCLEX
    ("prctl", (Condition(0, 15),)),  # PR_SET_NAME
    ("prctl", (Condition(0, 16),)),  # PR_GET_NAME
    ("prlimit64", (Condition(2, 0),)),  # read a limit, never set one
    ("kill", (Condition(0, 1),)),  # itself (pid 1 of its namespace): Modal cancels an input by SIGUSR1
)
"""Allowed only with these arguments."""

SYSCALLS_NETWORK: tuple[str, ...] = (
    "connect",
    "setsockopt",
    "sendmsg",
    "recvmsg",
    "sendmmsg",
    "shutdown",
    "getpeername",
)
SOCKETS_NETWORK: tuple[int, ...] = (2, 10)
"""Where a function is allowed the machine's network: outgoing IPv4 and IPv6. No bind, listen, accept, other family."""

SYSCALLS_MISSING: tuple[str, ...] = ("clone3",)
"""Answered ENOSYS, so that glibc falls back to the call that the filter can check (clone3's flags are behind a
pointer)."""

PYTHON_ENVIRONMENT: dict[str, str] = {
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=4",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "HOME": SCRATCH,
    "TMPDIR": SCRATCH,
    "PATH": "/usr/bin",
    "LANG": "C.UTF-8",
}
"""The zygote's start values; an image's own ENV wins. Huge pages and malloc halve what a fork costs; one thread at the
fork is a must. Few arenas, since each reserves address space."""

SCRUBBED: tuple[str, ...] = (
    "MODAL_CONTAINER_ARGUMENTS_PATH",
    "MODAL_ENABLE_SNAP_RESTORE",
    "MODAL_RESTORE_STATE_PATH",
    "PYTHONMALLOC",
    "GLIBC_TUNABLES",
)
"""Removed from a container's environment once it is restored: user code has no use for them."""


@dataclass(frozen=True)
class Limits:
    """Limits of one container, enforced by rlimits and mount options.

    Since a container can't start processes, what bounds its one process bounds the container.
    """

    memory_bytes: int = 1 << 30
    """Private writable memory beyond what the snapshot has mapped; more is a MemoryError. Pages of the snapshot that a
    container rewrites aren't counted, so it can use the snapshot's own size in addition; and ADDRESS_SPACE_SLACK, where
    it sets out to. Never more."""
    scratch_bytes: int = 64 << 20
    """/scratch, memory as well."""
    processes: int = 64
    """Threads; processes can't be started at all."""
    open_files: int = 256
    file_bytes: int = 64 << 20
    """One file; and what it may make of the memory that it shares with the control plane (`payload`)."""
    cpu_seconds: int = 60
    """CPU time of all its threads together; then it is killed."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f"limit {name} must be positive, not {value}")


@dataclass(frozen=True)
class Policy:
    """Which layers are on (default: all), and the uid that containers run as where the control plane is root."""

    layers: frozenset[str] = field(default_factory=lambda: frozenset(LAYERS))
    uid: int = 60001

    def __post_init__(self) -> None:
        if unknown := self.layers - set(LAYERS):
            raise ValueError(f"no such isolation layer: {', '.join(sorted(unknown))}; there are {', '.join(LAYERS)}")
        if self.uid <= 0:
            raise ValueError("containers can't run as root: policy.uid must be positive")

    def without(self, *layers: str) -> Self:
        """The same with some layers off: what an operator who lacks them may ask for by name, and what tests use."""
        if unknown := set(layers) - set(LAYERS):
            raise ValueError(f"no such isolation layer: {', '.join(sorted(unknown))}; there are {', '.join(LAYERS)}")
        return replace(self, layers=self.layers - set(layers))

    def to_json(self) -> dict[str, Any]:
        return {"layers": sorted(self.layers), "uid": self.uid}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(layers=frozenset(data["layers"]), uid=data["uid"])
