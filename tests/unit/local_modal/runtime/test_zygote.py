"""Zygotes and containers: real ones, with Modal's own entrypoint, from start to the last process gone."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from local_modal.runtime.container import ASSIGNMENT_BYTES
from local_modal.runtime.spec import Streams, ZygoteFailed
from local_modal.runtime.zygote import launch_direct

from .conftest import Host, gone, serialized, socket_pair, tree_of


@pytest.fixture(scope="module", autouse=True)
def threads_before() -> set[threading.Thread]:
    """Those of this process before the first zygote of this module."""
    return set(threading.enumerate())


async def test_a_container_answers_with_its_own_parameters_and_function(host: Host) -> None:
    zygote = await host.zygote()
    run = await host.fork(zygote, "result = [self.workspace_id, self.at_enter]")
    run.container.assign("fu-bound", serialized({"workspace_id": "acme"}))
    assert await run.answer() == {"result": ["acme", "acme"]}
    assert run.plane.function_id == "fu-bound"
    status = await run.container.exited
    assert (status.code, status.signal) == (0, None)
    assert 0 < status.cpu_seconds < 5


async def test_a_container_waits_until_it_is_assigned(host: Host) -> None:
    zygote = await host.zygote()
    run = await host.fork(zygote, "result = 1")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(run.plane.output), 0.3)
    assert "FunctionGetInputs" not in run.plane.calls
    run.container.assign("fu-bound", serialized({"workspace_id": "w"}))
    assert await run.answer() == {"result": 1}


async def test_two_containers_share_nothing_that_changes(host: Host) -> None:
    zygote = await host.zygote()
    code = """
import numpy, tempfile, uuid, random, os
COUNT[0] += 1
with open("/scratch/mark", "x"): pass
result = [COUNT[0], uuid.uuid4().hex, random.random(), numpy.random.random(), tempfile.mktemp(), os.urandom(8).hex()]
"""
    first, second = await asyncio.gather(host.run(zygote, code), host.run(zygote, code))
    assert first["result"][0] == second["result"][0] == 1
    for one, other in zip(first["result"][1:], second["result"][1:], strict=True):
        assert one != other
    assert host.runs[0].container.pid != host.runs[1].container.pid


async def test_numpy_imported_before_the_snapshot_draws_other_numbers_in_each_container(host: Host) -> None:
    guest = host.folder / "guest.py"
    guest.write_text("import numpy\n" + guest.read_text())
    zygote = await host.zygote()
    code = "import numpy; result = numpy.random.random()"
    assert await host.run(zygote, code) != await host.run(zygote, code)


async def test_code_sees_a_new_pid_namespace_and_a_nameless_user(host: Host) -> None:
    zygote = await host.zygote()
    code = "import os, pwd, socket; result = [os.getpid(), pwd.getpwuid(os.getuid()).pw_name, socket.gethostname()]"
    assert await host.run(zygote, code) == {"result": [1, "sandbox", "sandbox"]}


async def test_threads_and_event_loops_work(host: Host) -> None:
    zygote = await host.zygote()
    code = """
import asyncio, concurrent.futures, tempfile
async def main():
    return await asyncio.gather(*[asyncio.to_thread(pow, 2, n) for n in range(8)])
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    squares = list(pool.map(lambda n: n * n, range(20)))
with tempfile.NamedTemporaryFile("w+") as file:
    file.write("x"); file.flush(); name = file.name
result = [asyncio.run(main()), sum(squares), name.startswith("/scratch/")]
"""
    assert await host.run(zygote, code) == {"result": [[1, 2, 4, 8, 16, 32, 64, 128], 2470, True]}


async def test_printed_lines_reach_the_log(host: Host) -> None:
    zygote = await host.zygote()
    await host.run(
        zygote, "print('to stdout'); print('to stderr', file=sys.stderr)".replace("sys", "__import__('sys')")
    )
    await host.runs[0].container.exited
    assert {"to stdout", "to stderr"} <= set(host.printed().splitlines())


async def test_half_a_line_of_the_snapshot_phase_is_printed_once(host: Host) -> None:
    guest = host.folder / "guest.py"
    guest.write_text(guest.read_text() + "\nprint('half a line', end='')\n")
    zygote = await host.zygote()
    for _ in range(3):
        await host.run(zygote, "result = 1")
        await host.runs[-1].container.exited
    assert host.printed().count("half a line") == 1


async def test_large_parameters_arrive_and_larger_ones_are_refused(host: Host) -> None:
    zygote = await host.zygote()
    answer = await host.run(zygote, "result = len(self.workspace_id)", workspace="x" * 300_000)
    assert answer == {"result": 300_000}
    run = await host.fork(zygote, "result = 1")
    with pytest.raises(ValueError, match="too large"):
        run.container.assign("fu-bound", b"x" * ASSIGNMENT_BYTES)


async def test_kill_ends_a_running_container_and_only_that(host: Host) -> None:
    zygote = await host.zygote()
    doomed = await host.fork(zygote, "import time; time.sleep(3600)")
    doomed.container.assign("fu-bound", serialized({"workspace_id": "w"}))
    other = await host.fork(zygote, "result = 'alive'")
    doomed.container.kill()
    doomed.container.kill()
    status = await asyncio.wait_for(doomed.container.exited, 5)
    assert (status.code, status.signal) == (None, signal.SIGKILL)
    other.container.assign("fu-bound", serialized({"workspace_id": "w"}))
    assert await other.answer() == {"result": "alive"}
    doomed.container.kill()


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("import os; os._exit(3)", "exit status 3"),
        ("import ctypes; ctypes.string_at(8)", "killed by SIGSEGV"),
        ("import os; os.kill(1, 11)", None),
    ],
)
async def test_a_container_that_dies_is_seen_to(host: Host, code: str, ending: str | None) -> None:
    zygote = await host.zygote()
    answer = await host.run(zygote, code + "\nresult = 'survived'")
    assert answer == ({"result": "survived"} if ending is None else {"ended": ending})
    assert await host.run(zygote, "result = 2") == {"result": 2}


async def test_a_task_id_names_one_container(host: Host) -> None:
    zygote = await host.zygote()
    await host.fork(zygote, "result = 1", task_id="ta-same")
    with pytest.raises(ValueError, match="ta-same"):
        await host.fork(zygote, "result = 1", task_id="ta-same")


async def test_many_forks_at_once_all_answer(host: Host) -> None:
    zygote = await host.zygote()
    answers = await asyncio.gather(*[host.run(zygote, f"result = {n} * self.workspace_id", str(n)) for n in range(40)])
    assert [answer["result"] for answer in answers] == [n * str(n) for n in range(40)]


async def test_a_hook_that_reads_a_parameter_makes_the_zygote_unshareable(host: Host) -> None:
    env = {"GUEST_HOOK": "reads-parameter"}
    zygote = await host.zygote(host.spec(env=env), wait=False)
    with pytest.raises(ZygoteFailed) as failed:
        await zygote.ready()
    assert failed.value.unshareable
    shown = await host.zygote(host.spec(env=env, hide_params=False, params={"workspace_id": "acme"}))
    run = await host.fork(shown, "result = [self.seen, self.workspace_id]")
    run.container.assign("fu-bound", b"")
    assert await run.answer() == {"result": ["acme", "acme"]}


async def test_an_import_error_is_reported_by_modal_itself_and_ends_the_zygote(host: Host) -> None:
    zygote = await host.zygote(host.spec(env={"GUEST_HOOK": "import-error"}), wait=False)
    with pytest.raises(ZygoteFailed, match="before its snapshot point") as failed:
        await zygote.ready()
    assert not failed.value.unshareable
    assert not failed.value.killed
    result = host.planes[0].task_result
    assert result is not None
    assert "no such thing in this image" in result.exception
    assert "no such thing in this image" in host.printed()


async def test_an_interpreter_that_isnt_there_is_named(host: Host) -> None:
    zygote = await host.zygote(host.spec(python=host.folder / "bin" / "python"), wait=False)
    with pytest.raises(ZygoteFailed, match=r"no interpreter at .*/bin/python"):
        await zygote.ready()


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only as root containers are another user")
async def test_a_source_that_containers_cant_read_is_named(host: Host) -> None:
    (host.folder / "guest.py").chmod(0o600)
    zygote = await host.zygote(wait=False)
    with pytest.raises(ZygoteFailed, match=r"guest\.py: make it readable"):
        await zygote.ready()


async def test_an_image_without_modal_is_refused_with_a_reason(host: Host) -> None:
    spec = host.spec(read_only=(), python=Path(sys.executable).resolve())
    zygote = await host.zygote(spec, wait=False)
    with pytest.raises(ZygoteFailed, match="modal"):
        await zygote.ready()


async def test_threads_of_the_snapshot_phase_end_with_it_and_are_named(host: Host) -> None:
    zygote = await host.zygote(host.spec(env={"GUEST_HOOK": "starts-threads"}))
    code = "import threading; result = [t.name for t in threading.enumerate() if t.name == 'user-thread']"
    assert await host.run(zygote, code) == {"result": []}
    assert "user-thread" in host.printed()


async def test_close_leaves_no_process_descriptor_mount_or_file(host: Host) -> None:
    mounts, descriptors = Path("/proc/self/mountinfo").read_text(), set(os.listdir("/proc/self/fd"))
    files = sorted(path.name for path in host.folder.iterdir())
    zygote = await host.zygote()
    running = await host.fork(zygote, "import time; time.sleep(3600)")
    running.container.assign("fu-bound", serialized({"workspace_id": "w"}))
    waiting = await host.fork(zygote, "result = 1")
    tree = host.processes(zygote)
    assert len(tree) == 6
    await zygote.close()
    assert await gone(tree)
    assert running.container.exited.result().signal == waiting.container.exited.result().signal == signal.SIGKILL
    for plane in host.planes:
        await plane.close()
    await asyncio.sleep(0)
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert sorted(path.name for path in host.folder.iterdir()) == files
    with pytest.raises(ZygoteFailed):
        await host.fork(zygote, "result = 1")


async def test_close_ends_a_zygote_that_hangs_in_a_hook(host: Host) -> None:
    zygote = await host.zygote(host.spec(env={"GUEST_HOOK": "hangs"}), wait=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(zygote.ready(), 1.5)
    tree = host.processes(zygote)
    await asyncio.wait_for(zygote.close(), 5)
    assert await gone(tree)


async def test_a_zygote_that_is_killed_before_it_is_ready_says_so(host: Host) -> None:
    zygote = await host.zygote(host.spec(env={"GUEST_HOOK": "hangs"}), wait=False)
    while len(tree := tree_of(zygote)) < 3:
        await asyncio.sleep(0.02)
    os.kill(tree[2], signal.SIGKILL)
    with pytest.raises(ZygoteFailed, match="before its snapshot point") as failed:
        await zygote.ready()
    assert failed.value.killed


async def test_a_killed_zygote_takes_its_containers_with_it(host: Host) -> None:
    zygote = await host.zygote()
    run = await host.fork(zygote, "result = 1")
    tree = host.processes(zygote)
    os.kill(zygote.pid, signal.SIGKILL)
    assert await asyncio.wait_for(asyncio.shield(zygote.exited), 5) == -signal.SIGKILL
    assert (await run.container.exited).signal == signal.SIGKILL
    assert await gone(tree)


async def test_closing_twice_and_before_it_is_ready_is_fine(host: Host) -> None:
    zygote = await host.zygote(wait=False)
    await zygote.close()
    await zygote.close()
    with pytest.raises(ZygoteFailed):
        await zygote.ready()


CONTROL_PLANE = """
import asyncio, json, sys
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[1])
from conftest import Host, serialized
async def main():
    host = Host(Path(sys.argv[2]))
    zygote = await host.zygote()
    run = await host.fork(zygote, "import time; time.sleep(3600)")
    run.container.assign("fu", serialized({"workspace_id": "w"}))
    await host.fork(zygote, "result = 1")
    hanging = await host.zygote(host.spec(env={"GUEST_HOOK": "hangs"}), wait=False)
    while "GUEST_HOOK" not in str(Path(f"/proc/{hanging.pid}/root")) and len(host.processes(hanging)) < 3:
        await asyncio.sleep(0.05)
    print(zygote.pid, hanging.pid, flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


async def test_nothing_outlives_a_control_plane_that_is_killed(host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[4])]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CONTROL_PLANE, json.dumps(paths), str(folder), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in (await asyncio.wait_for(process.stdout.readline(), 60)).split()]
    trees: list[int] = []
    for pid in pids:
        named = type("Named", (), {"pid": pid})()
        found = host.processes(named)
        assert len(found) >= 3
        trees += found
    process.kill()
    await process.wait()
    assert await gone(trees)


async def test_a_direct_container_runs_the_entrypoint_from_its_start_in_the_full_jail(host: Host) -> None:
    spec = host.spec(snapshot=False, hide_params=False, params={"workspace_id": "acme"})
    code = "import os; result = [self.workspace_id, os.getpid(), sorted(os.listdir('/proc'))]"
    run = await host.direct(code, spec)
    run.container.assign("fu-ignored", b"ignored")
    assert await run.answer() == {"result": ["acme", 1, ["cpuinfo", "meminfo"]]}
    assert (await run.container.exited).code == 0


async def test_a_direct_container_can_be_killed(host: Host) -> None:
    spec = host.spec(snapshot=False, hide_params=False, params={"workspace_id": "acme"})
    run = await host.direct("import time; time.sleep(3600)", spec)
    run.container.kill()
    assert (await asyncio.wait_for(run.container.exited, 5)).signal == signal.SIGKILL


async def test_a_snapshot_isnt_started_directly(host: Host) -> None:
    other, end = socket_pair()
    with other, end, pytest.raises(ValueError, match=r"Zygote\.start"):
        await launch_direct(host.spec(), "ta-1", end, Streams(1, 1), host.folder)


async def test_a_message_that_makes_no_sense_ends_the_zygote(host: Host) -> None:
    guest = host.folder / "guest.py"
    guest.write_text(
        guest.read_text()
        + "\nimport socket\n"
        + "for number in range(3, 1024):\n"
        + "    try:\n"
        + "        other = socket.socket(fileno=os.dup(number))\n"
        + "        if other.type == socket.SOCK_SEQPACKET: other.send(b'nonsense')\n"
        + "    except OSError: pass\n"
    )
    forging = await host.zygote(wait=False)
    with pytest.raises(ZygoteFailed, match="no sense"):
        await forging.ready()


def test_no_thread_is_left_over(threads_before: set[threading.Thread]) -> None:
    assert set(threading.enumerate()) <= threads_before
