"""Runs a command that ends with its parent, however that ends: `python -I child.py PID COMMAND…`."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """The kernel's own word to this process (prctl(2)), which the command that replaces it keeps."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM) or os.getppid() != int(sys.argv[1]):
        sys.exit("the provider that started this is gone")
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the provider's own command


if __name__ == "__main__":
    main()
