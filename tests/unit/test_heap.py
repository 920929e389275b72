"""Freed memory is kept, by the control plane and by a server: seen by the pages that the kernel has to fill again."""

import subprocess
import sys

import pytest

FAULTS = """
import resource
from {module} import keep_freed_memory
if {keep}:
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def pass_on():
    return len([b"x" * (15 << 20) for _ in range(3)])
pass_on()
before = faults()
for _ in range(10):
    pass_on()
print(faults() - before)
"""
PAGES = 30 * (15 << 20) // 4096


def page_faults(module: str, *, keep: bool) -> int:
    program = FAULTS.format(module=module, keep=keep)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.parametrize("module", ["local_modal.heap", "modal_app.server.heap"])
def test_a_large_block_is_made_of_what_the_last_one_left(module: str) -> None:
    assert page_faults(module, keep=True) < PAGES // 10
    assert page_faults(module, keep=False) > PAGES // 2
