"""Fields of a message, counted before it is parsed."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from modal_proto import api_pb2

from local_modal.rpc.wire import few_fields

Request = api_pb2.FunctionPutOutputsRequest
SUCCESS = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
ANSWER = Request(
    outputs=[
        api_pb2.FunctionPutOutputsItem(
            input_id="in-1", result=api_pb2.GenericResult(status=SUCCESS, data=b"x" * 100_000), input_started_at=1.5
        )
    ],
    requested_at=2.5,
)
FIELDS = 7
"""outputs, input_id, result, status, data, input_started_at, requested_at"""


def nested(body: bytes) -> bytes:
    """One output of these fields."""
    return Request(outputs=[api_pb2.FunctionPutOutputsItem.FromString(body)]).SerializeToString()


def test_the_fields_of_submessages_count() -> None:
    data = ANSWER.SerializeToString()
    assert few_fields(data, Request, FIELDS)
    assert not few_fields(data, Request, FIELDS - 1)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x22\x00" * 1000,
        b"\x7b\x7c" + b"\x22\x00" * 1000,
        nested(b"\x7a\x00" * 1000),
        nested(b"\x78\x00" * 1000),
        b"\x78" + b"\xff" * 9 + b"\x7f" + b"\x22\x00" * 1000,
        b"\x2a" + b"\x80" * 9 + b"\x02" + b"\x22\x00" * 1000,
    ],
    ids=["submessages", "behind a group", "unknown in an output", "numbers in an output", "long number", "long length"],
)
def test_many_fields_are_many_wherever_they_stand(bomb: bytes) -> None:
    assert not few_fields(bomb, Request, 100)


@given(st.binary(max_size=400), st.binary(max_size=40))
def test_no_bytes_pass_of_which_the_parser_makes_more(noise: bytes, tail: bytes) -> None:
    for data in (noise, tail + b"\x22\x00" * 20 + noise):
        if few_fields(data, Request, 10):
            try:
                parsed = Request.FromString(data)
            except DecodeError:
                continue
            assert len(parsed.outputs) <= 10
