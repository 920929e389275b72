"""What passes of a container's answer."""

import pytest
from modal_proto import api_pb2

from local_modal.scheduler import results
from local_modal.scheduler.results import ForgedResultError, Result

CBOR, PICKLE = api_pb2.DATA_FORMAT_CBOR, api_pb2.DATA_FORMAT_PICKLE
SUCCESS, FAILURE = Result.GENERIC_STATUS_SUCCESS, Result.GENERIC_STATUS_FAILURE


def test_a_success_in_an_allowed_format_passes_with_its_data_only() -> None:
    sent = Result(status=SUCCESS, data=b"1", exception="x", serialized_tb=b"2", tb_line_cache=b"3")
    assert results.checked(sent, sent.data, CBOR, [CBOR], 10) == (Result(status=SUCCESS, data=b"1"), CBOR)


@pytest.mark.parametrize("data_format", [PICKLE, api_pb2.DATA_FORMAT_UNSPECIFIED, api_pb2.DATA_FORMAT_ASGI, 99])
def test_a_success_in_another_format_is_forged(data_format: int) -> None:
    with pytest.raises(ForgedResultError, match="CBOR"):
        results.checked(Result(status=SUCCESS), b"1", data_format, [CBOR], 10)


def test_a_failure_keeps_its_texts_and_loses_everything_that_would_be_unpickled() -> None:
    sent = Result(
        status=FAILURE, data=b"p", exception="e" * 99_999, traceback="t", serialized_tb=b"p", tb_line_cache=b"p"
    )
    passed, data_format = results.checked(sent, sent.data, PICKLE, [CBOR], 10)
    assert passed == Result(status=FAILURE, exception="e" * results.MAX_TEXT, traceback="t")
    assert data_format == CBOR


def test_a_failure_of_a_function_that_answers_in_pickles_passes_whole() -> None:
    sent = Result(status=FAILURE, data=b"p", exception="e", serialized_tb=b"p", tb_line_cache=b"p")
    assert results.checked(sent, sent.data, PICKLE, [PICKLE, CBOR], 10) == (sent, PICKLE)


@pytest.mark.parametrize("status", sorted(set(Result.GenericStatus.values()) - results.CONTAINER_STATUSES))
def test_a_status_that_is_not_a_containers_to_report_is_forged(status: int) -> None:
    with pytest.raises(ForgedResultError, match="status"):
        results.checked(Result(status=status), b"", CBOR, [CBOR], 10)  # type: ignore[arg-type]


def test_a_size_over_the_limit_is_forged() -> None:
    with pytest.raises(ForgedResultError, match="10 bytes"):
        results.checked(Result(status=SUCCESS), b"x" * 11, CBOR, [CBOR], 10)
