"""Either process at the snapshot point dies: containers go on, others are forked, and nothing is imported again."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from local_modal.runtime.spec import Streams, ZygoteFailed
from local_modal.runtime.zygote import Zygote

from .conftest import Host, serialized, socket_pair, tree_of

STANDBY, SERVER = 2, 3
"""Where they are in the tree of a zygote: below the process outside and pid 1."""


@pytest.fixture(autouse=True)
def counted(host: Host) -> None:
    """The guest says in its log that it is imported."""
    guest = host.folder / "guest.py"
    guest.write_text(guest.read_text() + "\nprint('the guest is imported')\n")


def imports(host: Host) -> int:
    return host.printed().count("the guest is imported")


Kill = Callable[[Zygote, int], Awaitable[None]]


@pytest.fixture
def kill(caplog: pytest.LogCaptureFixture) -> Kill:
    """Kills one process of a zygote, and waits until the control plane has heard of it."""

    async def kill(zygote: Zygote, which: int) -> None:
        heard = caplog.text.count("the other one goes on")
        os.kill(tree_of(zygote)[which], signal.SIGKILL)
        await eventually(lambda: caplog.text.count("the other one goes on") > heard)

    return kill


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("which", [STANDBY, SERVER])
async def test_when_one_dies_containers_go_on_and_the_next_imports_nothing(host: Host, kill: Kill, which: int) -> None:
    zygote = await host.zygote()
    waiting = await host.fork(zygote, "result = 'went on'")
    await kill(zygote, which)
    assert await host.run(zygote, "result = self.workspace_id", "next") == {"result": "next"}
    waiting.container.assign("fu-bound", serialized({"workspace_id": "w"}))
    assert await waiting.answer() == {"result": "went on"}
    await asyncio.wait_for(waiting.container.exited, 20)
    assert imports(host) == 1
    assert not zygote.exited.done()


async def test_one_after_the_other_may_die_any_number_of_times(host: Host, kill: Kill) -> None:
    zygote = await host.zygote()
    for number, which in enumerate([STANDBY, SERVER, SERVER, STANDBY, STANDBY, SERVER]):
        assert await host.run(zygote, f"result = {number}") == {"result": number}
        await eventually(lambda: len(tree_of(zygote)) >= SERVER + 1)
        await kill(zygote, which)
    assert await host.run(zygote, "result = 'still there'") == {"result": "still there"}
    assert imports(host) == 1


async def test_containers_of_a_server_that_died_can_be_killed_and_end_with_the_zygote(host: Host, kill: Kill) -> None:
    zygote = await host.zygote()
    runs = [await host.fork(zygote, "result = 1") for _ in range(2)]
    await kill(zygote, SERVER)
    await host.run(zygote, "result = 1")
    runs[0].container.kill()
    await asyncio.wait_for(runs[0].container.exited, 20)
    assert not runs[1].container.exited.done()
    await zygote.close()
    assert runs[1].container.exited.done()


async def test_what_a_server_was_asked_for_when_it_died_fails_and_leaves_no_container(host: Host, kill: Kill) -> None:
    zygote = await host.zygote()
    await host.run(zygote, "result = 1")
    await host.runs[0].container.exited
    server = tree_of(zygote)[SERVER]
    os.kill(server, signal.SIGSTOP)
    ours, theirs = socket_pair()
    with ours, theirs:
        asked = asyncio.create_task(zygote.fork("ta-lost", theirs, Streams(1, 1), {}))
        await asyncio.sleep(0)
        await kill(zygote, SERVER)
        with pytest.raises(ZygoteFailed, match="ended"):
            await asked
    await eventually(lambda: len(tree_of(zygote)) == SERVER + 1)
    assert await host.run(zygote, "result = 2") == {"result": 2}
    assert imports(host) == 1


async def test_when_both_die_the_zygote_ends_with_its_containers(host: Host) -> None:
    zygote = await host.zygote()
    run = await host.fork(zygote, "result = 1")
    both = tree_of(zygote)[STANDBY : SERVER + 1]
    for pid in both:
        os.kill(pid, signal.SIGSTOP)
    for pid in both:
        os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(asyncio.shield(zygote.exited), 20)
    assert run.container.exited.result().signal == signal.SIGKILL


async def test_a_server_without_work_ends_and_is_there_again_when_it_is_needed(host: Host) -> None:
    zygote = await host.zygote(host.spec(rest_seconds=0.2))
    run = await host.fork(zygote, "result = 1")
    await asyncio.sleep(0.5)
    assert len(tree_of(zygote)) == SERVER + 2
    run.container.assign("fu-bound", serialized({"workspace_id": "w"}))
    assert await run.answer() == {"result": 1}
    await eventually(lambda: len(tree_of(zygote)) == STANDBY + 1)
    assert await host.run(zygote, "result = 2") == {"result": 2}
    assert imports(host) == 1
