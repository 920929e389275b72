"""An HTTP/2 connection at a pace, over a socket pair; grpclib's own protocol is the control."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpclib.server
import h2.config
import h2.connection
import pytest
from google.protobuf.empty_pb2 import Empty
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler
from grpclib.encoding.proto import ProtoCodec
from grpclib.events import _DispatchServerEvents
from grpclib.protocol import H2Protocol
from h2.events import Event, StreamEnded, TrailersReceived

from local_modal.rpc.pace import BATCH, PREFACE_BYTES, Pace, PacedProtocol

START = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + b"12345678"
PONG = bytes([0, 0, 8, 6, 1, 0, 0, 0, 0]) + b"12345678"
UNKNOWN = bytes([0, 0, 0, 0xBB, 0, 0, 0, 0, 0])
WIDE = Pace(burst=1 << 30, per_second=1 << 30)
Make = Callable[..., H2Protocol]


def paced(*arguments: Any) -> H2Protocol:
    return PacedProtocol(WIDE, *arguments)


async def echo(stream: Any) -> None:
    await stream.recv_message()
    await stream.send_message(Empty())


@asynccontextmanager
async def served(make: Make) -> AsyncIterator[tuple[H2Protocol, asyncio.Transport, socket.socket]]:
    """The protocol on one end of a pair, and the peer's bare socket."""
    table = {"/echo": Handler(echo, Cardinality.UNARY_UNARY, Empty, Empty)}
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)

    def protocol() -> H2Protocol:
        handler = grpclib.server.Handler(table, ProtoCodec(), None, _DispatchServerEvents())
        config = h2.config.H2Configuration(client_side=False, header_encoding="ascii")
        return make(handler, Configuration().__for_server__(), config)

    transport, made = await asyncio.get_running_loop().connect_accepted_socket(protocol, ours)
    with theirs:
        try:
            yield made, transport, theirs
        finally:
            transport.abort()
            await asyncio.sleep(0)


async def read_until(peer: socket.socket, wanted: Callable[[bytes], bool]) -> bytes:
    loop, received = asyncio.get_running_loop(), b""
    while not wanted(received):
        data = await asyncio.wait_for(loop.sock_recv(peer, 1 << 16), 10)
        assert data, "hung up on"
        received += data
    return received


async def pongs_of_first_turn(make: Make, count: int) -> int:
    """How many of so many pings at once are answered before the loop turns to anything else."""
    async with served(make) as (protocol, _, peer):
        protocol.data_received(START)
        protocol.data_received(PING * count)
        answered = 0
        while True:
            try:
                answered += peer.recv(1 << 20).count(PONG)
            except BlockingIOError:
                return answered


async def test_frames_that_come_at_once_are_handled_a_few_at_a_time() -> None:
    assert await pongs_of_first_turn(paced, 2000) <= BATCH
    assert await pongs_of_first_turn(H2Protocol, 2000) == 2000


async def test_all_of_them_are_handled_in_the_end() -> None:
    async with served(paced) as (_, _, peer):
        peer.sendall(START + PING * 3000)
        await read_until(peer, lambda received: received.count(PONG) == 3000)


@pytest.mark.parametrize("size", [1, 7, PREFACE_BYTES + 1])
async def test_frames_may_be_cut_anywhere(size: int) -> None:
    client = h2.connection.H2Connection()
    client.initiate_connection()
    fields = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/echo"), ("te", "trailers")]
    client.send_headers(1, [*fields, ("content-type", "application/grpc")])
    client.send_data(1, bytes(5), end_stream=True)
    data, loop, events = client.data_to_send(), asyncio.get_running_loop(), list[Event]()
    async with served(paced) as (_, _, peer):
        for begin in range(0, len(data), size):
            await loop.sock_sendall(peer, data[begin : begin + size])
            await asyncio.sleep(0)
        while not any(isinstance(event, StreamEnded) for event in events):
            events += client.receive_data(await asyncio.wait_for(loop.sock_recv(peer, 1 << 16), 10))
    (trailers,) = (event for event in events if isinstance(event, TrailersReceived))
    assert (b"grpc-status", b"0") in [*trailers.headers]


async def test_beyond_its_burst_a_peer_is_slowed_down() -> None:
    def slow(*arguments: Any) -> H2Protocol:
        return PacedProtocol(Pace(burst=100, per_second=1), *arguments)

    async with served(slow) as (_, transport, peer):
        peer.sendall(START + PING * 500)
        received = await read_until(peer, lambda received: received.count(PONG) >= 99)
        assert received.count(PONG) <= 101
        assert not transport.is_reading()


async def test_who_has_shown_a_token_goes_on_at_another_pace() -> None:
    def slow(*arguments: Any) -> H2Protocol:
        return PacedProtocol(Pace(burst=100, per_second=1_000), *arguments)

    async with served(slow) as (protocol, _, peer):
        assert isinstance(protocol, PacedProtocol)
        peer.sendall(START + PING * 2000)
        await read_until(peer, lambda received: received.count(PONG) >= 99)
        for _ in range(3):
            protocol.go_at(Pace(burst=1_000, per_second=1))
        received = await read_until(peer, lambda received: received.count(PONG) >= 700)
        assert received.count(PONG) < 1_100


async def unread(make: Make) -> int:
    """How much waits for a peer that sends pings and reads nothing (bytes)."""
    async with served(make) as (_, transport, peer):
        loop = asyncio.get_running_loop()
        sending = loop.create_task(loop.sock_sendall(peer, START + PING * 200_000))
        waiting, idle = -1, 0
        while not sending.done() and idle < 500:  # turns of the loop in which nothing changed
            await asyncio.sleep(0)
            size = transport.get_write_buffer_size()
            idle = idle + 1 if size == waiting else 0
            waiting = size
        sending.cancel()
        return waiting


async def test_answers_do_not_pile_up_for_a_peer_that_reads_none() -> None:
    assert await unread(paced) < 128 << 10
    assert await unread(H2Protocol) > 512 << 10


async def test_what_was_held_back_is_handled_once_the_peer_reads() -> None:
    async with served(paced) as (protocol, _, peer):
        protocol.pause_writing()
        peer.sendall(START + PING)
        protocol.resume_writing()
        await read_until(peer, lambda received: PONG in received)


async def test_what_h2_and_grpclib_fail_on_ends_the_connection_quietly(caplog: pytest.LogCaptureFixture) -> None:
    async def noise(make: Make) -> bool:
        caplog.clear()
        async with served(make) as (_, _, peer):
            peer.sendall(START + UNKNOWN)
            loop = asyncio.get_running_loop()
            while await asyncio.wait_for(loop.sock_recv(peer, 1 << 16), 10):
                pass
        return any(record.levelno >= logging.ERROR for record in caplog.records)

    assert not await noise(paced)
    assert await noise(H2Protocol)


def test_all_that_a_container_may_send_is_within_its_burst() -> None:
    for size in (1 << 20, 256 << 20):
        frames = size // (16 << 10)
        assert Pace.of_container(max_bytes=size, restricted=True).burst > frames
