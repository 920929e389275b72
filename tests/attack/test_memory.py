"""Memory that no limit but that of the address space counts: how far a container gets with it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local_modal.runtime.policy import ADDRESS_SPACE_SLACK, Limits, Policy
from tests.unit.local_modal.runtime.conftest import Host

MIB = 1 << 20
LIMITS = Limits(memory_bytes=256 * MIB)
MOST_MIB = (LIMITS.memory_bytes + ADDRESS_SPACE_SLACK) // MIB
WANTED_MIB = MOST_MIB + 512

PREPARE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
pointer, size = ctypes.c_void_p, ctypes.c_size_t
libc.mmap.restype = libc.mremap.restype = pointer
libc.mmap.argtypes = [pointer, size, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [pointer, size, ctypes.c_int]
libc.mremap.argtypes = [pointer, size, size, ctypes.c_int]
FAILED, STEP = {None, 2**64 - 1}, 128 << 20
"""
ATTACKS = {
    "a stack of its own": "def take(): return libc.mmap(None, STEP, 3, 0x122, -1, 0)",
    "written, then made read only": """
def take():
    address = libc.mmap(None, STEP, 3, 0x22, -1, 0)
    if address not in FAILED:
        libc.mprotect(address, STEP, 1)
    return address
""",
    "the main stack, grown": """
stack = ctypes.c_void_p.in_dll(libc, "program_invocation_name").value & ~4095
pages = iter(range(16, 10_000))
def take(): return libc.mremap(stack - 4096 * next(pages), 4096, STEP, 1)
""",
}
TAKE = f"""
result = 0
while result < {WANTED_MIB} and take() not in FAILED:
    result += STEP >> 20
"""


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    made = Host(tmp_path)
    yield made
    await made.close()


@pytest.mark.parametrize("attack", ATTACKS)
async def test_memory_that_isnt_counted_as_data_is_bounded_by_address_space(host: Host, attack: str) -> None:
    """The attacks map and don't touch, which is what the limit counts."""
    limited = await host.zygote(host.spec(limits=LIMITS))
    free = await host.zygote(host.spec(limits=LIMITS, policy=Policy().without("limits")))
    code = PREPARE + ATTACKS[attack] + TAKE
    taken = (await host.run(limited, code))["result"]
    assert LIMITS.memory_bytes // MIB < taken <= MOST_MIB
    assert (await host.run(free, code))["result"] >= WANTED_MIB


async def test_the_main_stack_is_bounded_whatever_the_control_planes_own_may_be(host: Host) -> None:
    zygote = await host.zygote()
    answer = await host.run(zygote, "import resource; result = resource.getrlimit(resource.RLIMIT_STACK)")
    assert answer["result"] == [8 * MIB, 8 * MIB]
