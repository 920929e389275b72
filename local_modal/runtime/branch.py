"""Makes a zygote of a fork of a stem: in namespaces of its own, as if it had been started by itself.

    stem ── this process (waits) ── pid 1 of a new pid namespace (reaps, watches) ── pid 2: the zygote

The read-only tree is the stem's, since it is the same for every zygote of a definition; scratch and /proc aren't.
Standard library only: runs in the image's interpreter.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket

from . import policy
from . import syscalls as sc
from .first import exit_code, watch
from .jail import close_all_but


def enter(ctl: socket.socket, *, network: bool) -> None:
    """Returns in the zygote only. Ends with the control plane's end of `ctl`, and with the process that waits.

    Raises:
        OSError: there are no such namespaces here; the message names the step.
    """
    kinds = ["user", "mount", "pid", "ipc", "uts", "cgroup"]
    sc.unshare(*kinds, *([] if network else ["network"]))
    sc.map_ids(0, 0, 0)
    first = os.fork()
    if first:
        close_all_but([])
        _, status = os.waitpid(first, 0)
        os._exit(exit_code(status))
    sc.die_with_parent(signal.SIGKILL)
    with contextlib.suppress(PermissionError):  # parts of /proc are masked, so the outer one stays (see builder)
        sc.mount("proc", "/proc", "proc", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)
    flags = sc.MS_NOSUID | sc.MS_NODEV
    sc.mount("tmpfs", policy.SCRATCH, "tmpfs", flags, f"size={policy.ZYGOTE_SCRATCH_BYTES},mode=700")
    os.chdir(policy.SCRATCH)
    alive, announce = os.pipe()
    second = os.fork()
    if second:
        close_all_but([ctl.fileno(), alive])
        watch(second, alive, ctl)
    os.close(alive)
    os.close(announce)
