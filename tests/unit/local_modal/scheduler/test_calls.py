"""Waiting for outputs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.scheduler import results
from local_modal.scheduler.calls import Call, Calls, Input
from local_modal.store.calls import CallStore
from local_modal.store.database import Database
from local_modal.store.functions import BoundFunction

SUCCESS = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
FUNCTION = BoundFunction("fu-bound", "fu-base", b"")


def make_call(inputs: int = 1, *, unary: bool = False) -> tuple[Call, list[Input]]:
    kind = api_pb2.FUNCTION_CALL_TYPE_UNARY if unary else api_pb2.FUNCTION_CALL_TYPE_MAP
    call = Call(FUNCTION, "ap-1", kind, api_pb2.FUNCTION_CALL_INVOCATION_TYPE_SYNC)
    return call, call.add(api_pb2.FunctionPutInputsItem(idx=index) for index in range(inputs))


def finish(call: Call, entry: Input) -> None:
    call.finish(entry, api_pb2.FunctionGetOutputsItem(result=results.terminated()))


def request(**fields: object) -> api_pb2.FunctionGetOutputsRequest:
    return api_pb2.FunctionGetOutputsRequest(**fields)  # type: ignore[arg-type]


async def test_a_waiting_caller_is_woken_by_the_output() -> None:
    call, (entry,) = make_call()
    waiting = asyncio.create_task(call.wait_outputs(request(timeout=30.0, last_entry_id="0-0")))
    await asyncio.sleep(0)
    finish(call, entry)
    response = await asyncio.wait_for(waiting, 5)
    assert [item.input_id for item in response.outputs] == [entry.input_id]
    assert response.num_unfinished_inputs == 0


async def test_without_an_output_the_answer_comes_with_the_timeout() -> None:
    call, _ = make_call()
    response = await asyncio.wait_for(call.wait_outputs(request(timeout=0.01)), 5)
    assert (list(response.outputs), response.num_unfinished_inputs) == ([], 1)


async def test_a_caller_that_says_what_it_saw_gets_what_follows() -> None:
    call, entries = make_call(3)
    finish(call, entries[2])
    first = await call.wait_outputs(request(timeout=1.0))
    finish(call, entries[0])
    second = await call.wait_outputs(request(timeout=1.0, last_entry_id=first.last_entry_id))
    assert ([item.idx for item in first.outputs], [item.idx for item in second.outputs]) == ([2], [0])


@pytest.mark.parametrize(("first", "last", "expected"), [(0, 0, [0]), (1, 2, [1, 2]), (5, 9, [])])
async def test_outputs_are_narrowed_to_a_range_of_indices(first: int, last: int, expected: list[int]) -> None:
    call, entries = make_call(3)
    for entry in entries:
        finish(call, entry)
    response = await call.wait_outputs(request(timeout=0.0, start_idx=first, end_idx=last))
    assert [item.idx for item in response.outputs] == expected


async def test_an_input_that_is_run_again_is_waited_for_anew() -> None:
    call, (entry,) = make_call(unary=True)
    name = entry.attempt
    finish(call, entry)
    call.retry(entry, api_pb2.FunctionInput(args=b"again"))
    assert not (await call.wait_outputs(request(timeout=0.0, input_jwts=[name]))).outputs
    finish(call, entry)
    (output,) = (await call.wait_outputs(request(timeout=0.0, input_jwts=[name]))).outputs
    assert output.retry_count == 1


async def test_a_map_gets_what_came_after_its_request_was_made_too() -> None:
    call, (first, second) = make_call(2)
    known = [first.attempt]
    finish(call, second)
    finish(call, first)
    assert len((await call.wait_outputs(request(timeout=0.0, input_jwts=known))).outputs) == 2


async def test_what_names_no_attempt_is_refused() -> None:
    call, _ = make_call()
    for name in ("in-1:0", "a.b.c", "", "e30.e30."):
        with pytest.raises(LocalModalError, match="names no attempt"):
            await call.wait_outputs(request(timeout=0.0, input_jwts=[name]))


def test_arguments_are_let_go_when_their_output_is_there() -> None:
    call, (entry,) = make_call()
    entry.payload.args = b"x" * 1000
    finish(call, entry)
    assert not entry.payload.args


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "store")
    yield opened
    opened.close()


def calls_of(database: Database, *, ttl: float = 3600, max_bytes: int = 1 << 20) -> Calls:
    """As a control plane makes them at its start."""
    return Calls(
        ttl, CallStore(database), lambda bound_id: FUNCTION if bound_id == FUNCTION.bound_id else None, max_bytes
    )


def spawn(calls: Calls, inputs: int = 1) -> tuple[Call, list[Input]]:
    call = calls.add(
        Call(FUNCTION, "ap-1", api_pb2.FUNCTION_CALL_TYPE_MAP, api_pb2.FUNCTION_CALL_INVOCATION_TYPE_ASYNC)
    )
    return call, calls.add_inputs(call, [api_pb2.FunctionPutInputsItem(idx=index) for index in range(inputs)])


def test_finished_calls_go_when_their_time_is_over(database: Database) -> None:
    calls = calls_of(database, ttl=0)
    call, (entry,) = make_call()
    calls.add(call)
    calls.add(make_call()[0])
    assert calls.get(call.call_id) is call
    finish(call, entry)
    calls.add(make_call()[0])
    assert calls.get(call.call_id) is None


async def test_a_spawned_calls_results_outlive_the_control_plane(database: Database) -> None:
    calls = calls_of(database)
    call, entries = spawn(calls, 3)
    done = api_pb2.FunctionGetOutputsItem(result=api_pb2.GenericResult(status=SUCCESS, data=b"kept"))
    calls.finish(entries[1], done)
    again = calls_of(database).get(call.call_id)
    assert again is not None
    assert again.function == FUNCTION
    response = await again.wait_outputs(request(timeout=0.0))
    failed = api_pb2.GenericResult.GENERIC_STATUS_INTERNAL_FAILURE
    outputs = {item.idx: (item.result.status, item.result.data) for item in response.outputs}
    assert outputs == {0: (failed, b""), 1: (SUCCESS, b"kept"), 2: (failed, b"")}
    assert "restarted" in response.outputs[0].result.exception


def test_a_call_that_someone_waited_for_is_not_kept(database: Database) -> None:
    calls = calls_of(database)
    call = calls.add(make_call()[0])
    assert calls_of(database).get(call.call_id) is None


def test_results_beyond_the_room_for_them_go_the_oldest_first(database: Database) -> None:
    calls = calls_of(database, max_bytes=3000)
    spawned = []
    for _ in range(4):
        call, (entry,) = spawn(calls)
        calls.finish(
            entry, api_pb2.FunctionGetOutputsItem(result=api_pb2.GenericResult(status=SUCCESS, data=b"x" * 1000))
        )
        spawned.append(call.call_id)
    spawn(calls)
    assert [calls.get(call_id) is not None for call_id in spawned] == [False, False, True, True]


def test_kept_results_go_when_their_time_is_over(database: Database) -> None:
    call, (entry,) = spawn(calls := calls_of(database))
    calls.finish(entry, api_pb2.FunctionGetOutputsItem())
    later = calls_of(database, ttl=0)
    spawn(later)
    assert later.get(call.call_id) is None
    assert [row["call_id"] for row in database.all("SELECT call_id FROM inputs")] != [call.call_id]
