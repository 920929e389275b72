"""The compiled filter decides exactly as the policy says: run in an interpreter of the BPF subset that it uses."""

import ctypes
import ctypes.util
import errno
import struct

import pytest

from local_modal.runtime import policy
from local_modal.runtime.bpf import compile_filter
from local_modal.runtime.syscall_numbers import NUMBERS

X86_64 = 0xC000_003E
AARCH64 = 0xC000_00B7
I386 = 0x4000_0003
ALLOW, KILL = 0x7FFF_0000, 0x8000_0000
DENY, MISSING = 0x0005_0000 | errno.EPERM, 0x0005_0000 | errno.ENOSYS


def decide(program: bytes, number: int, *arguments: int, architecture: int = X86_64) -> int:
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    steps = list(struct.iter_unpack("HBBI", program))
    accumulator: int = 0
    position: int = 0
    while True:
        code, jump_true, jump_false, k = steps[position]
        position += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x54:
                accumulator &= k
            case 0x15:
                position += jump_true if accumulator == k else jump_false
            case 0x35:
                position += jump_true if accumulator >= k else jump_false
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def call(name: str, *arguments: int, network: bool = False) -> int:
    number = NUMBERS[name][0]
    assert number is not None
    return decide(compile_filter(network=network, machine="x86_64"), number, *arguments)


def test_every_call_of_the_list_is_allowed_on_both_architectures() -> None:
    for column, (machine, architecture) in enumerate((("x86_64", X86_64), ("aarch64", AARCH64))):
        program = compile_filter(machine=machine)
        for name in policy.SYSCALLS_ALWAYS:
            number = NUMBERS[name][column]
            if number is not None:
                assert decide(program, number, architecture=architecture) == ALLOW, name


def test_every_other_number_is_denied() -> None:
    program = compile_filter(machine="x86_64")
    named = [*policy.SYSCALLS_ALWAYS, *policy.SYSCALLS_MISSING, *(name for name, _ in policy.SYSCALLS_WHEN)]
    known = {NUMBERS[name][0] for name in named}
    others = set(range(600)) - known
    assert len(others) > 400
    assert {decide(program, number, 1, 1, 1, 1, 1, 1) for number in others} == {DENY}


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (0x3D0F00,), ALLOW),  # pthread_create
        ("clone", (0x1200011,), DENY),  # fork
        ("clone", (0x3D0F00 | 0x1000_0000,), DENY),  # a thread in a new user namespace
        ("clone3", (0,), MISSING),
        ("mmap", (0, 4096, 3, 0x22), ALLOW),  # private, anonymous
        ("mmap", (0, 4096, 1, 0x02), ALLOW),  # private, of a file
        ("mmap", (0, 4096, 3, 0x01), ALLOW),  # shared, of a file
        ("mmap", (0, 4096, 3, 0x21), DENY),  # shared, anonymous
        ("mmap", (0, 4096, 3, 0x23), DENY),  # shared and validated, anonymous
        ("socketpair", (1, 1, 0), ALLOW),
        ("socketpair", (1, 0x80801, 0), ALLOW),  # close-on-exec, non-blocking
        ("socketpair", (1, 2, 0), DENY),  # datagrams
        ("socketpair", (2, 1, 0), DENY),
        ("socketpair", (1 << 32 | 1, 1, 0), DENY),
        ("socket", (1, 1, 0), DENY),
        ("socket", (2, 1, 0), DENY),
        ("ioctl", (0, 0x5421), ALLOW),
        ("ioctl", (0, 0x5412), DENY),  # TIOCSTI
        ("prctl", (15,), ALLOW),
        ("prctl", (4, 1), DENY),
        ("prlimit64", (0, 7, 0), ALLOW),
        ("prlimit64", (0, 7, 0x7FFF_0000_0000), DENY),
        ("prlimit64", (0, 7, 1 << 32), DENY),
        ("kill", (1, 10), ALLOW),
        ("kill", (0xFFFF_FFFF_FFFF_FFFF, 9), DENY),
        ("kill", (0, 9), DENY),
        ("connect", (3,), DENY),
    ],
)
def test_arguments_decide(name: str, arguments: tuple[int, ...], expected: int) -> None:
    assert call(name, *arguments) == expected


def test_network_adds_outgoing_internet_sockets_only() -> None:
    assert [call("socket", family, network=True) for family in (2, 10)] == [ALLOW, ALLOW]
    assert {call("socket", family, network=True) for family in (1, 16, 17, 38, 40)} == {DENY}
    assert call("connect", 3, network=True) == ALLOW
    assert {call(name, 3, network=True) for name in ("bind", "listen", "accept4")} == {DENY}


def test_another_architecture_and_x32_are_killed() -> None:
    program = compile_filter(machine="x86_64")
    assert decide(program, 3, architecture=I386) == KILL
    assert decide(program, 0x4000_0000 | 1) == KILL


def test_an_unknown_machine_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        compile_filter(machine="riscv64")


def test_system_call_numbers_are_those_of_libseccomp() -> None:
    library = ctypes.util.find_library("seccomp")
    if library is None:
        pytest.skip("NOT RUN: libseccomp isn't installed here")
    resolve = ctypes.CDLL(library).seccomp_syscall_resolve_name_arch
    for name, numbers in NUMBERS.items():
        found = tuple(resolve(ctypes.c_uint32(arch), name.encode()) for arch in (X86_64, AARCH64))
        assert tuple(number if number >= 0 else None for number in found) == numbers, name
