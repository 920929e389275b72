"""Strangers, counted and timed."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from local_modal.strangers import Strangers


@pytest.fixture
async def connections() -> AsyncIterator[list[asyncio.Transport]]:
    loop = asyncio.get_running_loop()
    made, peers = [], []
    for _ in range(3):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)
        made.append(transport)
        peers.append(theirs)
    yield made
    for transport, peer in zip(made, peers, strict=True):
        transport.abort()
        peer.close()
    await asyncio.sleep(0)


async def test_one_too_many_and_the_longest_known_leaves(connections: list[asyncio.Transport]) -> None:
    strangers = Strangers(most=2, seconds=60)
    for connection in connections:
        strangers.meet(connection)
    assert [connection.is_closing() for connection in connections] == [True, False, False]
    for connection in connections:
        strangers.recognise(connection)


async def test_who_is_recognised_counts_no_more_and_stays(connections: list[asyncio.Transport]) -> None:
    strangers = Strangers(most=1, seconds=0.05)
    strangers.meet(connections[0])
    strangers.recognise(connections[0])
    strangers.recognise(None)
    strangers.meet(connections[1])
    async with asyncio.timeout(5):
        while not connections[1].is_closing():
            await asyncio.sleep(0.01)
    assert not connections[0].is_closing()
