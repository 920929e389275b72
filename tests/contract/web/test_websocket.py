"""Web endpoints over WebSocket: messages, subprotocols, and how a connection ends."""

import json

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.contract.web.client import Urls, history, until, websocket


def test_messages_go_both_ways(url: Urls, token: dict[str, str]) -> None:
    with websocket(url("Doors.wsapp") + "/ws", token) as socket:
        for message in ("text", "ü", b"\x00\xff", "", b"", b"x" * (2 << 20)):
            socket.send(message)
            assert socket.recv(30) == message
        socket.send("scope")
        path, scheme = json.loads(socket.recv(30))
        assert (path.endswith("-wsapp/ws"), scheme) == (True, "ws")
        assert socket.response is not None
        assert socket.response.headers["x-door"] == "open"


def test_a_subprotocol_is_the_applications_choice(url: Urls, token: dict[str, str]) -> None:
    with websocket(url("Doors.wsapp"), token, subprotocols=["first", "second"]) as socket:
        assert socket.subprotocol == "second"


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("close", 4001, "as asked"),
        ("forge-close", 1011, ""),
        ("return", 1000, ""),
        ("raise", 1011, "the endpoint failed; `modal app logs` has what it printed"),
        ("wrong-kind", 1011, "the endpoint's answer was none"),
    ],
)
def test_a_connection_ends_with_a_code(url: Urls, token: dict[str, str], message: str, code: int, reason: str) -> None:
    with websocket(url("Doors.wsapp"), token) as socket:
        socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(30)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, reason)


def test_a_message_over_the_limit_ends_the_connection(url: Urls, token: dict[str, str]) -> None:
    """With 1009 where the client still reads; one that is still sending may find the connection reset."""

    def send_too_much() -> None:
        with websocket(url("Doors.wsapp"), token) as socket:
            socket.send(b"x" * (2 << 20) + b"y")
            socket.recv(30)

    with pytest.raises(ConnectionClosed) as closed:
        send_too_much()
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


@pytest.mark.parametrize(("path", "status"), [("/refuse", 403), ("/forged-protocol", 502)])
def test_a_connection_that_is_not_accepted_gets_a_status(
    url: Urls, token: dict[str, str], path: str, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        websocket(url("Doors.wsapp") + path, token)
    assert refused.value.response.status_code == status


def test_an_application_is_told_that_its_client_has_left(url: Urls, token: dict[str, str], http: httpx.Client) -> None:
    with websocket(url("Doors.wsapp"), token) as socket:
        socket.send("hello")
        socket.recv(30)
    until(lambda: history(http, url("Doors.wsapp")), "socket left 1000")


def test_a_single_use_container_is_one_connections(url: Urls) -> None:
    address = url("Session.door") + "?workspace_id=a"
    with websocket(address) as first, websocket(address) as second:
        for socket in (first, second):
            socket.send("hello")
            assert socket.recv(30) == "hello"
