"""Zygotes forked from a stem: each with its own parameters in its hooks, none imports anything, none sees another."""

import asyncio
import os
import signal

import pytest

from local_modal.runtime.spec import ZygoteFailed

from .conftest import Host, gone


@pytest.fixture(autouse=True)
def counted(host: Host) -> None:
    """The guest says in its log that it is imported."""
    guest = host.folder / "guest.py"
    guest.write_text(guest.read_text() + "\nprint('the guest is imported')\n")


async def test_hooks_see_their_own_parameters_and_the_modules_of_the_stem(host: Host) -> None:
    stem = await host.zygote(host.spec(stem=True, env={"GUEST_HOOK": "reads-parameter"}))
    for workspace in ("acme", "umbra"):
        zygote = await host.branch(stem, workspace)
        await asyncio.wait_for(zygote.ready(), 20)
        for _ in range(2):
            answer = await host.run(zygote, "result = [self.seen, self.workspace_id, self.at_enter]", "ignored")
            assert answer == {"result": [workspace] * 3}
    assert host.runs[-1].plane.function_id == "fu-bound"
    assert host.printed().count("the guest is imported") == 1


async def test_a_branch_has_namespaces_and_scratch_of_its_own(host: Host) -> None:
    stem = await host.zygote(host.spec(stem=True, env={"GUEST_HOOK": "looks-around"}))
    seen = []
    for workspace in ("acme", "umbra"):
        zygote = await host.branch(stem, workspace)
        await asyncio.wait_for(zygote.ready(), 20)
        seen.append(await host.run(zygote, "result = [self.processes, self.files, self.namespaces]"))
    (one, files, namespaces), (other, other_files, other_namespaces) = (answer["result"] for answer in seen)
    assert files == other_files == []
    assert one == other == ["1", "2"]
    of_its_own = {"user", "mnt", "pid", "pid_for_children", "net", "ipc", "uts", "cgroup"}
    outside = {name: os.readlink(f"/proc/self/ns/{name}") for name in of_its_own}
    for name in of_its_own:
        assert len({namespaces[name], other_namespaces[name], outside[name]}) == 3, name


async def test_a_hook_that_fails_ends_its_own_branch_only(host: Host) -> None:
    stem = await host.zygote(host.spec(stem=True, env={"GUEST_HOOK": "fails-for-acme"}))
    failing = await host.branch(stem, "acme")
    with pytest.raises(ZygoteFailed, match="before its snapshot point"):
        await failing.ready()
    assert "not for acme" in str(host.planes[1].task_result)
    other = await host.branch(stem, "umbra")
    await asyncio.wait_for(other.ready(), 20)
    assert await host.run(other, "result = self.workspace_id") == {"result": "umbra"}


async def test_a_branch_ends_alone_and_with_its_stem(host: Host) -> None:
    stem = await host.zygote(host.spec(stem=True, env={"GUEST_HOOK": "reads-parameter"}))
    branches = [await host.branch(stem, workspace) for workspace in ("closed", "killed", "left")]
    for zygote in branches:
        await asyncio.wait_for(zygote.ready(), 20)
    runs = [await host.fork(zygote, "result = 1") for zygote in branches]
    trees = [host.processes(zygote) for zygote in branches]
    assert [len(tree) for tree in trees] == [4, 4, 4]
    await branches[0].close()
    os.kill(branches[1].pid, signal.SIGKILL)
    assert await gone([*trees[0], *trees[1]])
    await asyncio.gather(runs[0].container.exited, runs[1].container.exited)
    assert not runs[2].container.exited.done()
    await stem.close()
    assert await gone(trees[2])
    await asyncio.wait_for(runs[2].container.exited, 5)


async def test_a_branch_without_work_ends_and_its_stem_stays(host: Host) -> None:
    stem = await host.zygote(host.spec(stem=True, rest_seconds=0.2, env={"GUEST_HOOK": "reads-parameter"}))
    zygote = await host.branch(stem, "acme")
    await asyncio.wait_for(asyncio.shield(zygote.exited), 20)
    again = await host.branch(stem, "acme")
    await asyncio.wait_for(again.ready(), 20)
    assert await host.run(again, "result = self.seen") == {"result": "acme"}
    assert host.printed().count("the guest is imported") == 1
