"""What a container answers, at the server that asked: it costs little, and nothing passes that could end it."""

import random
import signal
import subprocess
import sys
import time
from typing import Any

import cbor2
import pytest

from modal_app.contract.errors import ContractError
from modal_app.contract.response import build_response, decode_response
from modal_app.settings import Limits

LIMITS = Limits()
MASK = (1 << 64) - 1
PRIMES = 11400714785074694791, 14029467366897019727, 2870177450012600261
"""Of CPython's hash of tuples (xxHash)."""


def colliding(count: int) -> list[tuple[int, int]]:
    """Pairs of integers that all have one hash."""
    chosen = random.Random(1)  # noqa: S311 - the same each time
    found: list[tuple[int, int]] = []
    while len(found) < count:
        first = chosen.randrange(1, 1 << 60)
        state = (PRIMES[2] + first * PRIMES[1]) & MASK
        state = ((state << 31 | state >> 33) & MASK) * PRIMES[0] & MASK
        wanted = 0x1234567890ABCDEF * pow(PRIMES[0], -1, 1 << 64) & MASK
        wanted = (wanted << 33 | wanted >> 31) & MASK
        second = (wanted - state) * pow(PRIMES[1], -1, 1 << 64) & MASK
        second -= (second >> 63) << 64
        if abs(second) < (1 << 61) - 1:
            found.append((first, second))
    return found


def answer(result: Any) -> bytes:
    return cbor2.dumps(build_response(result=result))


def as_dict(keys: list[tuple[int, int]]) -> dict[str, Any]:
    return {"$kind": "dict", "items": [[{"$kind": "tuple", "items": list(key)}, 1] for key in keys]}


def cpu_seconds(keys: list[tuple[int, int]]) -> float:
    begin = time.process_time()
    made = dict.fromkeys(keys, 1)
    seconds = time.process_time() - begin
    assert len(made) == len(keys)
    return seconds


def test_keys_made_to_collide_are_refused_before_they_cost_anything() -> None:
    data = answer([as_dict(colliding(5000))] * 20)
    with pytest.raises(ContractError, match="more than 64 tuples of the same hash"):
        decode_response(data, LIMITS)


def test_as_many_keys_of_other_hashes_pass() -> None:
    keys = [(row, column) for row in range(-100, 100) for column in range(-100, 100)]
    assert decode_response(answer(as_dict(keys)), LIMITS).result == dict.fromkeys(keys, 1)


def test_the_same_keys_hold_up_whoever_takes_them() -> None:
    """The control."""
    keys = colliding(5000)
    assert len({hash(key) for key in keys}) == 1
    assert cpu_seconds(keys) > 30 * cpu_seconds([(second, first + 1) for first, second in keys])


UNIT = "<M8[0s]"


def test_a_time_in_units_of_nothing_is_refused() -> None:
    array = {"dtype": UNIT, "shape": [1], "order": "C", "data": bytes(8)}
    result = {"$kind": "ndarray", "shape": None, "objects": None, "array": array}
    with pytest.raises(ContractError, match="type that is not accepted"):
        decode_response(answer(result), LIMITS)


def test_the_same_array_ends_a_process_that_takes_it() -> None:
    """The control."""
    use = f"""if True:
        import numpy as np
        taken = np.frombuffer(bytes(8), dtype={UNIT!r})
        np.array(["2020-01-01"], "M8[s]").astype(taken.dtype)
    """
    assert subprocess.run([sys.executable, "-c", use], check=False).returncode == -signal.SIGFPE
