"""The decoder takes what a response needs and nothing else."""

import math
import random
from typing import Any

import cbor2
import pytest

from modal_app.contract.cbor import decode
from modal_app.contract.errors import ContractError


def read(data: bytes, max_depth: int = 10, max_items: int = 100) -> Any:
    return decode(data, max_depth=max_depth, max_items=max_items)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, 23, 24, 255, 256, 65536, 2**32, 2**64 - 1, -1, -24, -25, -(2**64)),
        *(0.0, -0.0, 1.5, math.pi, math.inf, -math.inf, 1e308, 5e-324),
        *("", "text", "zwölf 🦆", "a" * 300, b"", b"\x00\xff", b"x" * 70_000),
        *([], [1, [2, [3]]], {}, {"a": {"b": [None]}}, {"": 1, "k" * 30: 2}),
    ],
)
def test_it_reads_what_cbor2_writes(value: Any) -> None:
    result = read(cbor2.dumps(value))
    assert result == value
    assert type(result) is type(value)


def test_it_reads_short_floats_and_not_a_number() -> None:
    assert read(bytes.fromhex("f93e00")) == 1.5
    assert read(bytes.fromhex("fa3fc00000")) == 1.5
    assert math.isnan(read(cbor2.dumps(math.nan)))


REFUSED = {
    "nothing": "",
    "trailing bytes": "0000",
    "a tag": "c074323031332d30332d32315432303a30343a30305a",
    "a big number": "c249010000000000000000",
    "a regular expression": "d82361613b",
    "a shared reference": "d81c80d81d00",
    "undefined": "f7",
    "a simple value": "f0",
    "a long simple value": "f8ff",
    "an array without end": "9f01ff",
    "bytes without end": "5f4101ff",
    "a map without end": "bfff",
    "a lonely break": "ff",
    "a reserved length": "1c",
    "an integer key": "a10102",
    "a key of bytes": "a1410102",
    "a key that is a list": "a18002",
    "the same key twice": "a2616101616102",
    "text that is no UTF-8": "61ff",
    "text cut short": "6261",
    "bytes cut short": "45010203",
    "bytes longer than any memory": "5b7fffffffffffffff01",
    "an array longer than any memory": "9b7fffffffffffffff01",
    "a map longer than any memory": "bb7fffffffffffffff01",
    "an argument cut short": "1b0000",
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(name: str) -> None:
    with pytest.raises(ContractError):
        read(bytes.fromhex(REFUSED[name]))


def test_it_refuses_depth_before_the_interpreter_has_to() -> None:
    assert read(b"\x81" * 9 + b"\x00")
    with pytest.raises(ContractError, match="too deep"):
        read(b"\x81" * 10 + b"\x00")
    with pytest.raises(ContractError, match="too deep"):
        read(b"\x81" * 100_000 + b"\x00")


def test_it_refuses_a_number_of_items_before_it_makes_room_for_them() -> None:
    assert len(read(cbor2.dumps([0] * 99))) == 99
    for data in (cbor2.dumps([0] * 100), cbor2.dumps([{}] * 100), cbor2.dumps([[0] * 50, [0] * 50])):
        with pytest.raises(ContractError, match="more than 100 items"):
            read(data)


def test_whatever_the_bytes_it_answers_with_a_value_or_a_contract_error() -> None:
    generator = random.Random(4)  # noqa: S311 - the same bytes in every run
    seed = cbor2.dumps({"a": [1, 2.5, None, {"b": b"12345", "c": "text"}], "d": [[[]]]})
    for _ in range(20_000):
        data = bytearray(seed)
        for _ in range(generator.randrange(1, 6)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        try:
            read(bytes(data[: generator.randrange(len(data) + 1)]))
        except ContractError:
            continue
