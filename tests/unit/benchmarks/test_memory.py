"""Memory of a tree of processes."""

import os
import subprocess
import sys

from benchmarks.memory import megabytes, tree

HOLD = """
import subprocess, sys
code = "data = bytearray(range(256)) * 4 * 40_000; print('ready', flush=True); input()"
subprocess.run([sys.executable, "-c", code])
"""


def test_descendants_count_too() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == b"ready\n"
        assert len(tree(process.pid)) == 2
        assert megabytes(process.pid) > 40
        assert process.pid in tree(os.getpid())
        process.stdin.write(b"\n")
