"""Class parameters out of a query."""

import modal
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modal._serialization import deserialize_proto_params, serialize_proto_params
from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.web.parameters import parameters

TYPES = {str: api_pb2.PARAM_TYPE_STRING, int: api_pb2.PARAM_TYPE_INT, bool: api_pb2.PARAM_TYPE_BOOL}


def spec(name: str, kind: type, default: object = None) -> api_pb2.ClassParameterSpec:
    """As the client declares it."""
    made = api_pb2.ClassParameterSpec(name=name, full_type=api_pb2.GenericPayloadType(base_type=TYPES[kind]))
    if default is not None:
        made.has_default = True
        setattr(made, f"{ {str: 'string', int: 'int', bool: 'bool'}[kind] }_default", default)
    return made


SCHEMA = [spec("name", str), spec("count", int, 3), spec("on", bool, True)]


def test_modals_client_makes_the_same_of_the_same_values() -> None:
    assert modal.__version__
    made = parameters(SCHEMA, [("count", "5"), ("other", "x"), ("name", "n")])
    assert made == serialize_proto_params({"name": "n", "count": 5, "on": True})


@given(st.text())
def test_any_text_is_a_string_as_it_is(text: str) -> None:
    made = parameters([spec("name", str)], [("name", text)]) if text.isprintable() or text.isascii() else b""
    assert not made or deserialize_proto_params(made) == {"name": text}


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False), ("1", True), ("0", False)])
def test_truth_has_four_spellings(text: str, value: bool) -> None:
    assert deserialize_proto_params(parameters([spec("on", bool)], [("on", text)])) == {"on": value}


@pytest.mark.parametrize("text", ["-1", "0", str((1 << 63) - 1), str(-(1 << 63))])
def test_a_number_is_one_of_64_bits(text: str) -> None:
    assert deserialize_proto_params(parameters([spec("n", int)], [("n", text)])) == {"n": int(text)}


@pytest.mark.parametrize("text", ["", "a", "1.0", " 1", "1_0", "+1", "--1", "²", str(1 << 63), "1" * 5_000])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(LocalModalError, match="no value of its type"):
        parameters([spec("n", int)], [("n", text)])


def test_a_parameter_is_given_once() -> None:
    with pytest.raises(LocalModalError, match="missing"):
        parameters(SCHEMA, [])
    with pytest.raises(LocalModalError, match="twice"):
        parameters(SCHEMA, [("name", "a"), ("name", "a")])


def test_no_query_carries_a_pickle() -> None:
    pickled = api_pb2.ClassParameterSpec(name="p", type=api_pb2.PARAM_TYPE_PICKLE)
    with pytest.raises(LocalModalError, match="no query"):
        parameters([pickled], [("p", "x")])
