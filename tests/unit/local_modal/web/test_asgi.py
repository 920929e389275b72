"""What passes between HTTP and ASGI."""

import pickle

import pytest
from modal_proto import api_pb2

from local_modal.web import asgi
from local_modal.web.asgi import BrokenAnswerError

Asgi = api_pb2.Asgi


def test_a_client_says_nothing_of_its_connection_or_its_token() -> None:
    raw = [
        (b"Host", b"x"),
        (b"Connection", b"keep-alive, X-Own"),
        (b"X-Own", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Modal-Key", b"wk-a"),
        (b"MODAL-SECRET", b"ws-b"),
        (b"Authorization", b"Bearer wk-a.ws-b"),
        (b"X-Forwarded-For", b"1.2.3.4"),
        (b"X-Kept", b"1"),
        (b"X-Kept", b"2"),
    ]
    assert asgi.request_headers(raw) == [(b"host", b"x"), (b"x-kept", b"1"), (b"x-kept", b"2")]


def test_the_applications_own_authorization_reaches_it() -> None:
    assert asgi.request_headers([(b"Authorization", b"Basic x")]) == [(b"authorization", b"Basic x")]


def test_an_input_is_the_scope_in_a_pickle() -> None:
    made = asgi.input_of({"type": "http"}, "door")
    assert pickle.loads(made.args) == (({"type": "http"},), {})  # noqa: S301 - our own
    assert (made.method_name, made.data_format) == ("door", api_pb2.DATA_FORMAT_PICKLE)
    assert not made.final_input


def test_headers_come_back_in_their_order_without_those_of_a_connection() -> None:
    flat = [b"set-cookie", b"a=1", b"Connection", b"close", b"set-cookie", b"b=2", b"x", "ü".encode(), b"y", b"\xff\t"]
    assert list(asgi.response_headers(flat).items()) == [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x", "ü"),
        ("y", "ÿ\t"),
    ]


@pytest.mark.parametrize(
    "flat",
    [
        [b"a"],
        [b"", b"x"],
        [b"a b", b"x"],
        [b"a:", b"x"],
        [b"a\r\n", b"x"],
        [b"a\n", b"x"],
        [b"a", b"x\r\ny: z"],
        [b"a", b"x\n"],
        [b"a", b"\0"],
        ["ü".encode(), b"x"],
        [b"content-length", b"-1"],
        [b"content-length", b"1, 1"],
        [b"content-length", "²".encode()],
        [b"content-length", b"1", b"Content-Length", b"1"],
        [b"a", b"x"] * (asgi.MAX_HEADERS + 1),
        [b"a", b"x" * asgi.MAX_HEADER_BYTES],
    ],
)
def test_what_is_no_header_is_refused(flat: list[bytes]) -> None:
    with pytest.raises(BrokenAnswerError):
        asgi.response_headers(flat)


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600, 2**32 - 1])
def test_a_status_that_is_not_a_final_one_is_refused(status: int) -> None:
    with pytest.raises(BrokenAnswerError, match="status"):
        asgi.response_head(Asgi.HttpResponseStart(status=status))


def test_an_event_is_one_of_those_that_are_due() -> None:
    body = Asgi(http_response_body=Asgi.HttpResponseBody(body=b"x")).SerializeToString()
    assert asgi.event(body, "http_response_body").http_response_body.body == b"x"
    for data in (body, b"", b"\xff", b"\x1a\x05"):
        with pytest.raises(BrokenAnswerError):
            asgi.event(data, "http_response_start")


def test_an_event_of_countless_headers_is_not_even_parsed() -> None:
    start = Asgi(http_response_start=Asgi.HttpResponseStart(status=200, headers=[b""] * 100_000))
    with pytest.raises(BrokenAnswerError, match="no event"):
        asgi.event(start.SerializeToString(), "http_response_start")


@pytest.mark.parametrize(("given", "sent"), [(1000, 1000), (3000, 3000), (4999, 4999), (1011, 1011)])
def test_a_code_that_may_be_sent_is_sent(given: int, sent: int) -> None:
    assert asgi.close_code(given) == sent


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 2**32 - 1])
def test_a_code_that_may_not_be_sent_is_a_failures(code: int) -> None:
    assert asgi.close_code(code) == 1011


def test_a_reason_is_cut_between_characters() -> None:
    assert asgi.close_reason("ü" * 100) == b"\xc3\xbc" * 61
