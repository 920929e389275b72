"""What the WebSocket door makes of peers that don't keep to the protocol, and that no request runs twice."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cbor2
import msgpack
import pytest
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from modal_app.contract.response import build_response
from modal_app.gateway import frames, websocket
from modal_app.gateway.codes import Code
from modal_app.gateway.endpoint import Endpoint
from modal_app.gateway.requests import Work
from modal_app.gateway.service import Service
from modal_app.settings import Limits, WebSettings
from tests.unit.modal_app.gateway.doors import Doors, InProcess, doors

SOURCE = "def run(self, x):\n    return {'x': x}"
SETTINGS = WebSettings(idle_seconds=2, frame_seconds=1)
MIB = 1024 * 1024


class Peer:
    """A client that sends what it is told to."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def send(self, **fields: Any) -> None:
        self.socket.send(msgpack.packb(fields))

    def receive(self) -> dict[str, Any]:
        message = self.socket.recv(10)
        fields: dict[str, Any] = msgpack.unpackb(message)
        if "_chunked" in fields:
            fields = msgpack.unpackb(b"".join(self.socket.recv(10, decode=False) for _ in range(fields["_chunked"])))
        return fields

    def hello(self, session: str = "s1") -> dict[str, Any]:
        self.send(_kind="hello", proto=2, session_id=session)
        return self.receive()

    def ask(self, request_id: str | None = "r1", x: Any = 1, source: str = SOURCE, **changes: Any) -> None:
        fields = {
            "request_id": request_id,
            "code_hash": Code(source, ()).hash,
            "code_str": source,
            "imports": [],
            "run_function_name": "run",
            "inputs": {"x": x},
            "workflow_context": {},
            **changes,
        }
        message = msgpack.packb({name: value for name, value in fields.items() if value is not None})
        for frame in frames.split(message):
            self.socket.send(frame)

    def closed(self) -> int:
        """The close code; what still comes before it is read past."""
        try:
            while True:
                self.socket.recv(10)
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else 1006


@contextmanager
def peer(opened: Doors, query: str = "?workspace_id=acme") -> Iterator[Peer]:
    with connect(f"{opened.websocket}/ws{query}", max_size=None, compression=None, proxy=None) as socket:
        yield Peer(socket)


@pytest.fixture(scope="module")
def opened() -> Iterator[Doors]:
    with doors(SETTINGS) as opened:
        yield opened


@pytest.fixture
def other(opened: Doors) -> Iterator[Peer]:
    with peer(opened) as other:
        yield other


def test_hello_tells_what_the_client_needs(opened: Doors) -> None:
    with peer(opened) as one, peer(opened) as two:
        said = one.hello("fresh")
        assert said == {
            "_kind": "hello",
            "proto": 2,
            "idle_timeout_s": 2,
            "session_known": False,
            "container_id": opened.endpoint.container_id,
        }
        one.ask("a", source="def run(self, x):\n    1 / 0")
        assert one.receive()["error_type"] == "ZeroDivisionError"
        assert two.hello("fresh")["session_known"] is False
        one.ask("b")
        assert one.receive()["success"]
    with peer(opened) as three, peer(opened, "?workspace_id=rival") as four:
        assert three.hello("fresh")["session_known"] is True
        assert four.hello("fresh")["session_known"] is False


def test_a_heartbeat_is_answered_while_a_block_runs() -> None:
    end = threading.Event()

    def waiting(_: Work, __: Limits) -> bytes:
        end.wait(10)
        return cbor2.dumps(build_response(result=msgpack.packb({"x": 1})))

    with doors(SETTINGS, waiting) as opened, peer(opened) as client:
        client.hello()
        client.ask()
        client.send(_kind="heartbeat")
        assert client.receive() == {"_kind": "heartbeat_ack"}
        end.set()
        assert client.receive()["request_id"] == "r1"


def test_an_idle_connection_is_closed_with_a_word() -> None:
    with doors(WebSettings(idle_seconds=2)) as opened, peer(opened) as client:
        client.hello()
        assert client.receive() == {"_kind": "closing"}
        assert client.closed() == 1000


def test_a_connection_lasts_no_longer_than_it_may_but_answers_what_it_read() -> None:
    end = threading.Event()

    def waiting(_: Work, __: Limits) -> bytes:
        end.wait(10)
        return cbor2.dumps(build_response(result=msgpack.packb({"x": 1})))

    with doors(WebSettings(connection_seconds=1), waiting) as opened, peer(opened) as client:
        client.hello()
        client.ask()
        with pytest.raises(TimeoutError):
            client.socket.recv(1.5)
        end.set()
        assert client.receive()["success"]
        assert client.receive() == {"_kind": "closing"}
        assert client.closed() == 1000


def counting(runs: list[str]) -> Callable[[Work, Limits], bytes]:
    def answer(work: Work, _: Limits) -> bytes:
        runs.append(work.workspace_id)
        return cbor2.dumps(build_response(result=msgpack.packb({"n": len(runs)})))

    return answer


def test_a_request_that_is_sent_again_is_not_run_again() -> None:
    runs: list[str] = []
    with doors(SETTINGS, counting(runs)) as opened:
        for _ in range(3):
            with peer(opened) as client:
                client.hello()
                client.ask("once")
                assert client.receive()["result"] == {"n": 1}
        for query, session in (("?workspace_id=acme", "s2"), ("?workspace_id=rival", "s1")):
            with peer(opened, query) as client:
                client.hello(session)
                client.ask("once")
                client.receive()
    assert runs == ["acme", "acme", "rival"]


def test_a_request_that_is_sent_again_while_it_runs_is_joined() -> None:
    runs: list[str] = []
    begun, end = threading.Event(), threading.Event()

    def waiting(work: Work, limits: Limits) -> bytes:
        begun.set()
        end.wait(10)
        return counting(runs)(work, limits)

    with doors(SETTINGS, waiting) as opened:
        with peer(opened) as lost:
            lost.hello()
            lost.ask("once")
            assert begun.wait(10)
        with peer(opened) as back:
            back.hello()
            back.ask("once")
            back.send(_kind="heartbeat")
            assert back.receive() == {"_kind": "heartbeat_ack"}
            end.set()
            assert back.receive()["result"] == {"n": 1}
    assert runs == ["acme"]


def test_an_answer_that_is_gone_is_said_to_be_and_the_block_does_not_run_again() -> None:
    runs: list[str] = []
    with doors(WebSettings(replay_entries=1), counting(runs)) as opened, peer(opened) as client:
        client.hello()
        for request_id in ("a", "b", "a"):
            client.ask(request_id)
            answer = client.receive()
    assert answer["error_type"] == "ResponseNoLongerAvailable"
    assert answer["server_error"] is True
    assert len(runs) == 2


def test_a_peer_without_hello_is_one_of_protocol_1(other: Peer) -> None:
    other.ask(None)
    answer = other.receive()
    assert answer["success"]
    assert "request_id" not in answer


def test_a_hash_that_is_not_kept(other: Peer) -> None:
    other.hello()
    other.ask(code_hash="f" * 32, code_str=None)
    answer = other.receive()
    assert (answer["error_type"], answer["server_error"], answer["request_id"]) == ("UnknownCodeHash", True, "r1")


@pytest.mark.parametrize("request_id", [None, "", "x" * 129, 7, b"x"], ids=repr)
def test_a_request_id_that_is_none(other: Peer, request_id: Any) -> None:
    other.hello()
    other.ask(request_id)
    answer = other.receive()
    assert (answer["error_type"], answer["server_error"]) == ("InvalidRequest", True)
    assert "request_id" not in answer


def test_inputs_that_are_missing_and_ones_that_cannot_be_read(other: Peer) -> None:
    other.hello()
    other.ask(inputs=None)
    assert other.receive()["error_type"] == "InvalidRequest"
    other.ask("r2", {"_type": "workflow_image", "value": "http://localhost/x"})
    answer = other.receive()
    assert (answer["error_type"], answer["server_error"], answer["request_id"]) == ("InvalidRequest", True, "r2")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (["text"], 1003),
        ([b""], 1007),
        ([b"\xc1"], 1007),
        ([msgpack.packb([1])], 1007),
        ([msgpack.packb({1: 2})], 1007),
        ([b"\x82" + msgpack.packb("a") * 4], 1007),
        ([msgpack.packb({"a": 1}) + b"\x00"], 1007),
        ([b"\xdf\xff\xff\xff\xff"], 1007),
        ([b"\x81\xa6inputs" + b"\x91" * 5000], 1007),
        ([msgpack.packb({"a": msgpack.ExtType(5, b"x")})], 1007),
        ([b"x" * (MIB + 1)], 1009),
        ([msgpack.packb({"_chunked": 0})], 1007),
        ([msgpack.packb({"_chunked": 1025})], 1007),
        ([msgpack.packb({"_chunked": True})], 1007),
        ([msgpack.packb({"_chunked": 2.0})], 1007),
        ([msgpack.packb({"_chunked": 2}), b"x"], 1002),
        ([msgpack.packb({"_chunked": 2}), b"x", b"y"], 1007),
        ([msgpack.packb({"_chunked": 2}), "text"], 1003),
        ([msgpack.packb({"_chunked": 65}), *[b"x" * MIB] * 65], 1009),
        ([msgpack.packb({"_kind": "hello", "proto": 1, "session_id": "s"})], 1002),
        ([msgpack.packb({"_kind": "hello", "proto": 2})], 1002),
        ([msgpack.packb({"_kind": "hello", "proto": 2, "session_id": "s"})] * 2, 1002),
        ([msgpack.packb({"_kind": "goodbye"})], 1002),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_does_not_belong_here_ends_the_connection(opened: Doors, other: Peer, sent: list[Any], code: int) -> None:
    for frame in sent:
        other.socket.send(frame)
    assert other.closed() == code
    assert opened.service.budget.left == SETTINGS.waiting_bytes


@pytest.mark.parametrize(("query", "status"), [("", 403), ("?workspace_id=a&workspace_id=b", 400)])
def test_a_workspace_that_is_none_gets_no_connection(opened: Doors, query: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught, peer(opened, query):
        pass
    assert caught.value.response.status_code == status


def test_a_sandbox_cannot_speak_for_the_door() -> None:
    """What it adds is refused, what it calls itself is only a name, and its bytes are one value."""
    forged = [
        cbor2.dumps({**build_response(result=msgpack.packb({})), "server_error": True}),
        cbor2.dumps(build_response(result=msgpack.packb({}) + msgpack.packb({}))),
        cbor2.dumps(build_response(result="{}")),
        cbor2.dumps(build_response(result=msgpack.packb({"_type": "workflow_image", "value": "http://x/"}))),
        cbor2.dumps(build_response(result=msgpack.packb({"_type": "ndarray", "dtype": "U999999", "value": [""] * 99}))),
        b"",
    ]
    with doors(SETTINGS, lambda _, __: forged.pop()) as opened, peer(opened) as client:
        client.hello()
        for number in range(len(forged)):
            client.ask(f"r{number}")
            answer = client.receive()
            assert (answer["error_type"], answer["request_id"]) == ("RefusedAnswer", f"r{number}")
    assert forged == []


def test_half_open_connections_leave_nothing(opened: Doors) -> None:
    with peer(opened) as client:
        client.hello()
        client.socket.send(msgpack.packb({"_chunked": 3}))
        client.socket.send(b"x" * MIB)
        client.socket.socket.shutdown(2)
    with peer(opened) as client:  # served meanwhile, and the other one's memory is given back
        client.hello()
        client.ask("after")
        assert client.receive()["success"]
    assert opened.service.budget.left == SETTINGS.waiting_bytes


async def test_a_client_that_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be sent in time ends the connection, and what was held for it is given back."""
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.1)
    runs: list[str] = []
    service = Service(InProcess(counting(runs)), WebSettings(frame_seconds=1))
    request = {"code_str": SOURCE, "run_function_name": "run", "inputs": {"x": "x" * 3 * MIB}}
    frames_in: list[dict[str, Any]] = [{"type": "websocket.connect"}]
    frames_in += [{"type": "websocket.receive", "bytes": frame} for frame in frames.split(msgpack.packb(request))]
    never = asyncio.Event()

    async def receive() -> Any:
        if not frames_in:
            await never.wait()
        return frames_in.pop(0)

    async def send(event: Any) -> None:
        if event["type"] != "websocket.accept":
            await never.wait()

    socket = WebSocket({"type": "websocket"}, receive, send)
    await websocket.Connection(socket, "acme", Endpoint(service, 10), 600).serve()
    assert runs == ["acme"]
    assert service.budget.left == WebSettings().waiting_bytes
