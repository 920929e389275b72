"""What a container hears of the inputs that it works on."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from local_modal.scheduler import task as tasks
from local_modal.scheduler.task import Task


@pytest.fixture
def task() -> Task:
    return Task(cast(Any, SimpleNamespace()))


def entry(input_id: str) -> Any:
    return SimpleNamespace(input_id=input_id)


async def test_a_heartbeat_is_held_until_an_input_is_cancelled(task: Task) -> None:
    held = asyncio.create_task(task.heartbeat())
    await asyncio.sleep(0)
    task.cancel(entry("in-2"))
    task.cancel(entry("in-1"))
    answer = await held
    assert list(answer.cancel_input_event.input_ids) == ["in-1", "in-2"]


async def test_what_was_cancelled_meanwhile_is_told_at_the_next_heartbeat(task: Task) -> None:
    task.cancel(entry("in-1"))
    assert list((await task.heartbeat()).cancel_input_event.input_ids) == ["in-1"]


async def test_an_answer_without_a_cancelled_input_has_an_event_so_that_the_client_asks_again_soon(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """modal's `_run_heartbeat_loop` waits until 15 s after its question otherwise."""
    monkeypatch.setattr(tasks, "HEARTBEAT_HOLD_SECONDS", 0.0)
    answer = await task.heartbeat()
    assert answer.HasField("cancel_input_event")
    assert not answer.cancel_input_event.input_ids
