"""Any value of the supported types comes back as it went; any bytes and any data end in a value or a ContractError."""

import string
from contextlib import suppress
from datetime import UTC, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import cbor2
import numpy as np
from hypothesis import example, given
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays

from modal_app.contract import cbor
from modal_app.contract.codec import KIND
from modal_app.contract.errors import ContractError
from modal_app.contract.kinds import KINDS, decode_value
from modal_app.settings import Limits
from tests.unit.modal_app.contract.test_kinds import same, there_and_back

LIMITS = Limits()
DTYPES = some.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="?"),
    arrays.unsigned_integer_dtypes(endianness="?"),
    arrays.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    arrays.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    arrays.datetime64_dtypes(endianness="?"),
    arrays.timedelta64_dtypes(endianness="?"),
    arrays.byte_string_dtypes(endianness="?", max_len=9),
    arrays.unicode_string_dtypes(endianness="?", max_len=9),
)
TEXT = some.text(some.characters(codec=None), max_size=9)
ZONES = some.sampled_from([None, UTC, ZoneInfo("Europe/Berlin"), timezone(timedelta(hours=-3, minutes=-30))])
SCALARS = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(),
    some.floats(),
    some.complex_numbers(),
    some.decimals(),
    some.binary(max_size=9),
    TEXT,
    some.uuids(),
    some.datetimes(timezones=ZONES),
    some.dates(),
    some.times(),
    some.timedeltas(),
    arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, min_side=0, max_side=4)),
    DTYPES.flatmap(arrays.from_dtype),
)
SIMPLE_KEYS = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-(2**64), 2**64 - 1),
    some.floats(allow_nan=False),
    some.binary(max_size=5),
    TEXT,
)
KEYS = some.one_of(SIMPLE_KEYS, some.tuples(SIMPLE_KEYS, SIMPLE_KEYS))
VALUES = some.recursive(
    SCALARS | some.sets(KEYS, max_size=5) | some.frozensets(KEYS, max_size=5),
    lambda inner: (
        some.lists(inner, max_size=5)
        | some.lists(inner, max_size=5).map(tuple)
        | some.dictionaries(KEYS, inner, max_size=5)
        | some.dictionaries(TEXT | some.just(KIND), inner, max_size=5)
    ),
    max_leaves=20,
)

PLAIN = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**64), 2**64 - 1) | some.floats() | some.binary() | some.text(),
    lambda inner: some.lists(inner, max_size=6) | some.dictionaries(some.text(string.ascii_letters, max_size=9), inner),
    max_leaves=20,
)


@given(VALUES)
def test_whatever_a_block_returns_comes_back_as_it_went(value: Any) -> None:
    assert same(there_and_back(value), value)


@given(some.binary(max_size=200))
@example(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff")
def test_any_bytes_end_in_a_value_or_a_refusal(data: bytes) -> None:
    with suppress(ContractError):
        cbor.decode(data, max_depth=20, max_items=1000)


@given(some.data())
def test_any_data_under_our_tag_ends_in_a_value_or_a_refusal(data: Any) -> None:
    """The fields are those of a kind, so that what checks them is reached."""
    kind = data.draw(some.sampled_from(KINDS))
    hints = some.sampled_from(["|u1", "<f4", "<U2", "C", "F", "0x7", "uint8", "2024-01-02", "1E+5", [2], [0, 1], b"12"])
    fields = {name: data.draw(hints | PLAIN) for name in kind.fields}
    with suppress(ContractError):
        decode_value(cbor.decode(cbor2.dumps({KIND: kind.name, **fields}), max_depth=50, max_items=1000), LIMITS)


@given(arrays.arrays(np.uint8, some.sampled_from([(4, 6, 3), (4, 6), (4, 6, 4)])))
def test_views_of_an_array_come_back_with_the_same_elements(array: Any) -> None:
    for view in (array[::2], array[:, ::-1], array.T, np.asfortranarray(array)):
        np.testing.assert_array_equal(there_and_back(view), view)
