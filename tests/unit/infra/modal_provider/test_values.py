"""Property values on the wire: what goes in comes out, secrets and unknown values told apart."""

from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import rpc

from infra.modal_provider.values import SIGNATURE, UNKNOWN, Properties, decode, encode, texts_in

PLAIN = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.just(UNKNOWN),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), PLAIN), st.sets(st.text()))
def test_values_come_back_as_they_went(values: dict[str, Any], secret: set[str]) -> None:
    assert decode(encode(values, secret)) == Properties(values, frozenset(values.keys() & secret))


def test_whole_numbers_are_whole_and_others_are_not() -> None:
    decoded = decode(encode({"whole": 2.0, "half": 0.5}, ())).values
    assert (repr(decoded["whole"]), repr(decoded["half"])) == ("2", "0.5")


def test_null_is_absent() -> None:
    struct = struct_pb2.Struct()
    struct.update({"a": None, "b": {"c": None, "d": "e"}})
    assert decode(struct).values == {"b": {"d": "e"}}


def test_a_property_with_a_secret_inside_is_secret_as_a_whole() -> None:
    struct = struct_pb2.Struct()
    struct.update({"a": {"b": [{SIGNATURE: rpc._special_secret_sig, "value": "canary"}]}, "c": "d"})
    assert decode(struct) == Properties({"a": {"b": ["canary"]}, "c": "d"}, frozenset({"a"}))


@pytest.mark.parametrize(
    ("wire", "value", "secret"),
    [
        ({"value": "x", "secret": True}, "x", {"a"}),
        ({"value": "x", "secret": False}, "x", set()),
        ({"value": "x"}, "x", set()),
        ({}, UNKNOWN, set()),
        ({"secret": True}, UNKNOWN, {"a"}),
    ],
)
def test_an_output_value_is_its_value(wire: dict[str, Any], value: Any, secret: set[str]) -> None:
    struct = struct_pb2.Struct()
    struct.update({"a": {SIGNATURE: rpc._special_output_value_sig, **wire}})
    assert decode(struct) == Properties({"a": value}, frozenset(secret))


def test_what_is_no_property_value_is_refused() -> None:
    with pytest.raises(TypeError, match="no property value: bytes"):
        encode({"a": b"bytes"}, ())


def test_every_text_inside_is_found() -> None:
    assert texts_in({"a": ["b", {"c": "d"}], "e": 1, "f": UNKNOWN}) == ["b", "d"]
