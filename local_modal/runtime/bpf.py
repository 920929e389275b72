"""Compiles the policy's system call allow-list into a seccomp BPF program, on the control plane's side.

Pure Python instead of libseccomp: the program is a list of exact comparisons, the same on every machine, and needs no
shared library on the user's. A test runs it in an interpreter and compares system call numbers with libseccomp's.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable

from . import policy
from .policy import Condition
from .syscall_numbers import AARCH64, NUMBERS, X86_64

_LOAD, _AND, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_KILL, _ERRNO, _ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_ARCHITECTURES = {"x86_64": (X86_64, 0xC000_003E), "aarch64": (AARCH64, 0xC000_00B7)}
_X32_BIT = 0x4000_0000
_WORD = 0xFFFF_FFFF

Instruction = tuple[int, int, int, int]


def _allow_when(number: int, conditions: Iterable[Condition]) -> list[Instruction]:
    """Allow `number` if all conditions hold, else fall through with the number loaded again."""
    body: list[Instruction] = []
    for condition in conditions:
        for shift, offset in ((0, 0), (32, 4)):
            mask, value = condition.mask >> shift & _WORD, condition.value >> shift & _WORD
            if not mask:
                continue
            body.append((_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * condition.index + offset))
            if mask != _WORD:
                body.append((_AND, 0, 0, mask))
            body.append((_JUMP_EQUAL, 0, -1, value))
    body.append((_RETURN, 0, 0, _ALLOW))
    length = len(body)
    patched = [
        (code, true, length - position - 1 if false == -1 else false, k)
        for position, (code, true, false, k) in enumerate(body)
    ]
    return [(_JUMP_EQUAL, 0, length + 1, number), *patched, (_LOAD, 0, 0, _NUMBER_OFFSET)]


def compile_filter(*, network: bool = False, machine: str | None = None) -> bytes:
    """The program as bytes (an array of struct sock_filter).

    A foreign architecture (int 0x80) or x32 call kills the process; anything else that isn't allowed gets EPERM.

    Raises ValueError on an architecture that the policy has no numbers for.
    """
    name = machine or platform.machine()
    if name not in _ARCHITECTURES:
        raise ValueError(f"no system call table for {name}: local Modal's sandbox runs on x86_64 and aarch64")
    column, architecture = _ARCHITECTURES[name]
    always = list(policy.SYSCALLS_ALWAYS) + (list(policy.SYSCALLS_NETWORK) if network else [])
    when = list(policy.SYSCALLS_WHEN)
    if network:
        when += [("socket", (Condition(0, family),)) for family in policy.SOCKETS_NETWORK]
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
    ]
    if column == X86_64:
        program += [(_JUMP_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]
    for call in always:
        number = NUMBERS[call][column]
        if number is not None:
            program += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for call in policy.SYSCALLS_MISSING:
        number = NUMBERS[call][column]
        if number is not None:
            program += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for call, conditions in when:
        number = NUMBERS[call][column]
        if number is not None:
            program += _allow_when(number, conditions)
    program.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)
