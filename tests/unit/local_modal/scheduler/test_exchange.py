"""The two streams of a web endpoint's call, and how each side waits for the other."""

import asyncio

import pytest
from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.scheduler.exchange import QUEUED_BYTES, WINDOW_BYTES, Exchange

ENDED = api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS)


def body(size: int) -> api_pb2.Asgi:
    return api_pb2.Asgi(http_request=api_pb2.Asgi.HttpRequest(body=b"x" * size, more_body=True))


def chunk(index: int, size: int = 1) -> api_pb2.DataChunk:
    return api_pb2.DataChunk(data=b"x" * size, index=index)


async def turns() -> None:
    """Lets everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_events_come_in_their_order_and_are_numbered_from_one() -> None:
    exchange = Exchange()
    for size in (1, 2):
        await exchange.send(body(size))
    stream = exchange.follow(0)
    assert [(await anext(stream)).index, (await anext(stream)).index] == [1, 2]


async def test_a_stream_goes_on_where_the_container_says() -> None:
    exchange = Exchange()
    for size in (1, 2, 3):
        exchange.send_now(body(size))
    assert (await anext(exchange.follow(2))).index == 3
    with pytest.raises(LocalModalError, match="event 1"):
        await anext(exchange.follow(1))
    with pytest.raises(LocalModalError, match="event 4"):
        await anext(exchange.follow(4))


async def test_a_client_waits_until_the_container_has_worked_off_what_there_is() -> None:
    exchange = Exchange()
    await exchange.send(body(WINDOW_BYTES))
    sending = asyncio.create_task(exchange.send(body(1)))
    stream = exchange.follow(0)
    assert (await anext(stream)).index == 1
    await turns()
    assert not sending.done()
    assert [one async for one in stream] == []  # it asks again only when it has worked off the first
    again = exchange.follow(1)
    assert (await anext(again)).index == 2
    assert sending.done()


async def test_a_container_waits_until_the_client_has_taken_what_there_is() -> None:
    exchange = Exchange()
    exchange.put(chunk(1, QUEUED_BYTES + 1))
    waiting = asyncio.create_task(exchange.drained())
    await turns()
    assert not waiting.done()
    assert len(await exchange.receive() or b"") == QUEUED_BYTES + 1
    await asyncio.wait_for(waiting, 5)


async def test_a_client_that_has_left_keeps_no_container_waiting() -> None:
    exchange = Exchange()
    exchange.put(chunk(1, QUEUED_BYTES + 1))
    waiting = asyncio.create_task(exchange.drained())
    await turns()
    exchange.leave()
    await asyncio.wait_for(waiting, 5)
    exchange.put(chunk(2, QUEUED_BYTES + 1))
    await asyncio.wait_for(exchange.drained(), 5)
    assert len(exchange) == 2


async def test_an_event_that_came_before_is_passed_over() -> None:
    exchange = Exchange()
    for index in (1, 1, 2):
        exchange.put(chunk(index, index))
    assert [await exchange.receive(), await exchange.receive(), exchange.taken()] == [b"x", b"xx", None]


async def test_what_was_sent_before_the_end_is_still_taken() -> None:
    exchange = Exchange()
    exchange.put(chunk(1))
    exchange.end(ENDED)
    assert [await exchange.receive(), await exchange.receive()] == [b"x", None]


async def test_the_end_wakes_everyone_but_the_container_which_ends_too() -> None:
    exchange = Exchange()
    following = asyncio.ensure_future(anext(exchange.follow(0)))
    waiting = [asyncio.create_task(exchange.receive()), asyncio.create_task(exchange.ended())]
    await turns()
    exchange.end(ENDED)
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert not following.done()
    following.cancel()


async def test_a_call_is_begun_once_its_container_has_asked() -> None:
    exchange = Exchange()
    assert not exchange.begun
    exchange.send_now(body(1))
    await anext(exchange.follow(0))
    assert exchange.begun
