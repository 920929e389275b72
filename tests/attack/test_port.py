"""Anyone on the machine can connect to the port: without a token nothing is to be had, and nothing to be held up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpclib.client
import pytest
from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_grpc

from local_modal import strangers
from local_modal.server import ControlPlane
from tests.control_plane import running, token

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
OPENINGS = {
    "silent": b"",
    "two bytes": b"PR",
    "half an HTTP/1 header": b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "HTTP/2 and nothing else": PREFACE + SETTINGS,
}


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with running(tmp_path) as control_plane:
        yield control_plane


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers have half a second."""
    monkeypatch.setattr(strangers.Strangers.__init__, "__defaults__", (strangers.MOST, 0.5))


@asynccontextmanager
async def connected(
    plane: ControlPlane, opening: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.plane.settings.port)
    writer.write(opening)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side hangs up."""
    with contextlib.suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), 15)
    return b""


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("opening", OPENINGS)
async def test_who_shows_no_token_in_time_is_hung_up_on(plane: ControlPlane, opening: str) -> None:
    async with connected(plane, OPENINGS[opening]) as (reader, _):
        await rest(reader)


@pytest.mark.usefixtures("impatient")
async def test_who_has_shown_a_token_or_a_key_may_stay(plane: ControlPlane) -> None:
    blob_id, key = plane.plane.blobs.reserve(2)
    async with grpclib.client.Channel("127.0.0.1", plane.plane.settings.port) as channel:
        stub = api_grpc.ModalClientStub(channel)
        await stub.ClientHello(Empty(), metadata=token(plane))
        first = channel._protocol
        head = f"PUT /blobs/{blob_id}/{key} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na"
        async with connected(plane, head.encode()) as (reader, writer), connected(plane, b"") as (stranger, _):
            await rest(stranger)
            writer.write(b"b")
            assert b"200" in await reader.readline()
        await stub.ClientHello(Empty(), metadata=token(plane))
        assert channel._protocol is first


async def test_strangers_leave_room_for_those_with_a_token(plane: ControlPlane) -> None:
    port = plane.plane.settings.port
    async with grpclib.client.Channel("127.0.0.1", port) as channel, contextlib.AsyncExitStack() as stack:
        stub = api_grpc.ModalClientStub(channel)
        await stub.ClientHello(Empty(), metadata=token(plane))
        known = channel._protocol
        crowd = [await stack.enter_async_context(connected(plane, b"")) for _ in range(strangers.MOST + 20)]
        for reader, _ in crowd[:20]:
            await rest(reader)
        assert not crowd[-1][0].at_eof()
        await stub.ClientHello(Empty(), metadata=token(plane))
        assert channel._protocol is known


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"x-modal-token-id": "*", "x-modal-token-secret": "*"},
        {"x-modal-token-id": "a" * 60_000, "x-modal-token-secret": "b"},
        {"x-modal-token-secret-bin": b"\xff\x00"},
    ],
)
async def test_no_made_up_token_opens_anything(plane: ControlPlane, metadata: dict[str, str | bytes]) -> None:
    async with grpclib.client.Channel("127.0.0.1", plane.plane.settings.port) as channel:
        with pytest.raises(GRPCError) as caught:
            await api_grpc.ModalClientStub(channel).ClientHello(Empty(), metadata=metadata)
        assert caught.value.status is Status.UNAUTHENTICATED


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"PUT /blobs/bl-x/y HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
@pytest.mark.usefixtures("impatient")
async def test_no_http2_can_be_smuggled_behind_an_http1_request(plane: ControlPlane, request_head: bytes) -> None:
    async with connected(plane, request_head + PREFACE + SETTINGS) as (reader, _):
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.")
    assert b"\x00\x00\x00\x04\x01\x00\x00\x00\x00" not in answer, "HTTP/2 settings were acknowledged"


async def test_a_page_that_rebinds_its_name_to_this_machine_learns_nothing_of_the_account(plane: ControlPlane) -> None:
    blob_id, key = plane.plane.blobs.reserve(1)
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    secret = {*token(plane).values(), blob_id, key, str(plane.plane.settings.home)}
    async with aiohttp.ClientSession(headers=headers) as session:
        for method, path in (
            ("GET", "/health"),
            ("GET", "/"),
            ("PUT", f"/blobs/{blob_id}/guess"),
            ("OPTIONS", "/health"),
        ):
            async with session.request(method, plane.plane.settings.url + path) as answer:
                text = await answer.text()
                assert not any(value in text for value in secret)
                assert "Access-Control-Allow-Origin" not in answer.headers
                assert answer.status == (200 if (method, path) == ("GET", "/health") else answer.status)
                assert path == "/health" or answer.status == 404
