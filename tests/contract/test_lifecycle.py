"""Local Modal as a program: started, found, stopped, killed, started again; what survives and what must not."""

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import modal
import modal.exception
import pytest
from modal_proto import api_pb2

from tests.contract.conftest import REAL, LocalModal, connected

pytestmark = pytest.mark.skipif(REAL, reason="NOT RUN on Modal itself: tests local Modal's own program")
APP = """
import time

import modal

app = modal.App("survives")
print("imported by survives")


@app.cls(
    image=modal.Image.debian_slim(python_version="3.11"),
    timeout=60,
    single_use_containers=True,
    enable_memory_snapshot=True,
)
class Box:
    name: str = modal.parameter()

    @modal.method()
    def sleep(self, seconds):
        print("asleep")
        time.sleep(seconds)
        return self.name


@app.function(image=modal.Image.debian_slim(python_version="3.11"), timeout=60)
def double(number):
    return number * 2
"""


SNAPSHOT_HOOK = """
    @modal.enter(snap=True)
    def prepare(self):
"""
STANDBY, SERVER = 2, 3
"""Among the descendants of a control plane with one snapshot: the process at its snapshot point, and its own fork."""


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, thread.read_text().split()):
            found += [child, *descendants(child)]
    return found


def namespace_pids(pid: int) -> list[int]:
    """Its ids in the namespaces below that of a zygote or a stem, outermost first."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("NSpid"))
    return [int(each) for each in line.split()[2:]]


def wait_until_gone(pids: list[int]) -> None:
    end = time.monotonic() + 20
    while left := [pid for pid in pids if running(pid)]:
        assert time.monotonic() < end, f"still there: {left}"


def running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.fixture
def client(own: LocalModal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[modal.Client]:
    """A client of the test's own control plane, with the app deployed to it."""
    own.start()
    variables = own.client_env()
    path = tmp_path / "survives_app.py"
    path.write_text(APP)
    subprocess.run(
        [sys.executable, "-m", "modal", "deploy", str(path)],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        timeout=100,
    )
    monkeypatch.setenv("MODAL_SERVER_URL", variables["MODAL_SERVER_URL"])
    with connected(variables["MODAL_TOKEN_ID"], variables["MODAL_TOKEN_SECRET"]) as client:
        yield client


def box(client: modal.Client, name: str) -> modal.cls.Obj:
    return modal.Cls.from_name("survives", "Box", environment_name="main", client=client)(name=name)


def pid_of(own: LocalModal) -> int:
    return int(str(own.status()["pid"]))


def test_starting_twice_is_starting_once(own: LocalModal) -> None:
    own.start()
    first = pid_of(own)
    own.start()
    assert pid_of(own) == first


def test_many_that_start_at_once_find_one_another(own: LocalModal) -> None:
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: own.run("start", check=False), range(4)))
    assert all(result.returncode == 0 for result in done), [result.stderr for result in done]
    assert len({result.stdout for result in done}) == 1


def test_it_listens_on_loopback_only(own: LocalModal) -> None:
    own.start()
    port = int(own.settings["LOCAL_MODAL_PORT"])
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = {
        entry[1].split(":")[0] for entry in listening if entry[3] == "0A" and int(entry[1].split(":")[1], 16) == port
    }
    assert addresses == {"0100007F"}


def test_what_it_keeps_is_readable_by_its_owner_only(own: LocalModal) -> None:
    own.start()
    assert stat.S_IMODE(own.home.stat().st_mode) == 0o700
    for name in ("credentials.json", "store.sqlite3", "control-plane.log"):
        assert stat.S_IMODE((own.home / name).stat().st_mode) == 0o600, name


def test_a_taken_port_is_one_clear_line(own: LocalModal) -> None:
    with socket.create_server(("127.0.0.1", int(own.settings["LOCAL_MODAL_PORT"]))):
        failed = own.run("start", check=False)
    assert failed.returncode == 1
    assert own.settings["LOCAL_MODAL_PORT"] in failed.stderr
    assert "--port" in failed.stderr
    assert "Traceback" not in failed.stderr
    own.start()


def test_a_record_of_a_process_that_is_gone_is_seen_as_stale(own: LocalModal) -> None:
    own.home.mkdir(mode=0o700)
    (own.home / "control-plane.json").write_text(json.dumps({"pid": 1, "url": "http://127.0.0.1:1", "started_at": 0}))
    assert own.status()["running"] is False
    own.start()
    assert own.status()["running"] is True


def test_stop_when_nothing_runs_is_no_error(own: LocalModal) -> None:
    assert "not running" in own.run("stop").stdout


def test_a_damaged_store_is_one_clear_line(own: LocalModal) -> None:
    own.home.mkdir(mode=0o700)
    (own.home / "store.sqlite3").write_bytes(b"no database at all" * 100)
    failed = own.run("start", check=False)
    assert failed.returncode == 1
    assert "local-modal reset" in failed.stderr
    assert "Traceback" not in failed.stderr
    own.run("reset")
    own.start()


@pytest.mark.parametrize(("name", "value"), [("PORT", "many"), ("PREFORK", "-1"), ("RESULT_TTL", "x")])
def test_a_wrong_setting_is_named_with_what_is_allowed(own: LocalModal, name: str, value: str) -> None:
    wrong = LocalModal(own.home, {**own.settings, f"LOCAL_MODAL_{name}": value})
    failed = wrong.run("start", check=False)
    assert failed.returncode == 1
    assert f"LOCAL_MODAL_{name}={value!r}" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_status_names_the_active_layers(own: LocalModal) -> None:
    own.start()
    isolation = own.status()["isolation"]
    assert isinstance(isolation, dict)
    assert isolation["seccomp"] == "active"
    assert own.run("status").returncode == 0


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_handles_made_before_a_restart_work_after_it(own: LocalModal, client: modal.Client, how: str) -> None:
    method = box(client, "before").sleep
    function = modal.Function.from_name("survives", "double", environment_name="main", client=client)
    assert (method.remote(0), function.remote(4)) == ("before", 8)
    call, many = function.spawn(21), function.experimental_spawn_map([1, 2, 3])
    assert (call.get(timeout=40), list(many.iter())) == (42, [2, 4, 6])
    restart(own, how)
    assert (method.remote(0), function.remote(5)) == ("before", 10)
    assert (call.get(timeout=20), list(many.iter(start=1))) == (42, [4, 6])
    assert modal.FunctionCall.from_id(call.object_id, client=client).get(timeout=20) == 42


@pytest.mark.needs_client("Function.autoscaler")
def test_containers_that_are_asked_for_are_there_after_a_restart(own: LocalModal, client: modal.Client) -> None:
    function = modal.Function.from_name("survives", "double", environment_name="main", client=client)
    function.autoscaler.update(min_containers=1)
    restart(own, "stopped")
    end = time.monotonic() + 40
    while function.get_current_stats().num_total_runners < 1:
        assert time.monotonic() < end
    assert function.remote(3) == 6


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_call_in_flight_during_a_restart_fails_as_modals_own_error(
    own: LocalModal, client: modal.Client, how: str
) -> None:
    spawned, waited_for = box(client, "a").sleep, box(client, "b").sleep
    call = spawned.spawn(60)
    with ThreadPoolExecutor(2) as threads:
        fetched = threads.submit(call.get)
        answered = threads.submit(waited_for.remote, 60)
        wait_until_running(own, 2)
        restart(own, how)
        for future in (fetched, answered):
            error = future.exception(timeout=50)
            assert isinstance(error, modal.exception.Error), repr(error)
    with pytest.raises(modal.exception.InternalFailure, match="restarted"):
        call.get(timeout=20)
    assert box(client, "c").sleep.remote(0) == "c"


def restart(own: LocalModal, how: str) -> None:
    if how == "killed":
        pid = pid_of(own)
        os.kill(pid, signal.SIGKILL)
        wait_until_gone([pid])
    else:
        own.run("stop")
    own.start()


def wait_until_running(own: LocalModal, inputs: int) -> None:
    """Until so many inputs are with containers: each says so in the log of its app."""
    end = time.monotonic() + 40
    while time.monotonic() < end:
        with closing(sqlite3.connect(own.home / "store.sqlite3")) as store:
            (count,) = store.execute("SELECT count(DISTINCT task_id) FROM logs WHERE data LIKE '%asleep%'").fetchone()
        if count >= inputs:
            return
    raise AssertionError("the containers did not start")


def deploy_with_hook(own: LocalModal, folder: Path, name: str, hook: str) -> None:
    """The app under another name, with what a class does before its snapshot."""
    method = "\n    @modal.method()"
    source = APP.replace("survives", name).replace(method, f"{SNAPSHOT_HOOK}        {hook}\n{method}")
    (folder / f"{name}_app.py").write_text(source)
    command = [sys.executable, "-m", "modal", "deploy", f"{name}_app.py"]
    subprocess.run(
        command, cwd=folder, env={**os.environ, **own.client_env()}, check=True, capture_output=True, timeout=100
    )


def printed(own: LocalModal, text: str) -> int:
    """How often containers have printed it."""
    with closing(sqlite3.connect(own.home / "store.sqlite3")) as store:
        rows = store.execute("SELECT data FROM logs WHERE instr(data, ?)", (text,)).fetchall()
    return sum(str(data).count(text) for (data,) in rows)


def test_stopping_leaves_no_process_and_no_folder(own: LocalModal, client: modal.Client) -> None:
    assert box(client, "a").sleep.remote(0) == "a"
    pid = pid_of(own)
    family = [pid, *descendants(pid)]
    assert len(family) > 2
    own.run("stop")
    wait_until_gone(family)
    assert not list((own.home / "run").iterdir())


def test_killing_the_control_plane_takes_every_container_with_it(own: LocalModal, client: modal.Client) -> None:
    call = box(client, "a").sleep.spawn(60)
    with pytest.raises(TimeoutError):
        call.get(timeout=1)
    pid = pid_of(own)
    family = [pid, *descendants(pid)]
    assert len(family) > 2
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(family)
    assert own.status()["running"] is False
    own.start()
    assert box(client, "b").sleep.remote(0) == "b"
    with pytest.raises(modal.exception.InternalFailure, match="restarted"):
        call.get(timeout=20)


def test_killing_a_snapshot_fails_its_calls_and_the_next_call_works(own: LocalModal, client: modal.Client) -> None:
    call = box(client, "a").sleep.spawn(60)
    with pytest.raises(TimeoutError):
        call.get(timeout=1)
    for child in descendants(pid_of(own))[:1]:
        os.kill(child, signal.SIGKILL)
    with pytest.raises(modal.exception.InternalFailure):
        call.get(timeout=20)
    assert box(client, "b").sleep.remote(0) == "b"


@pytest.mark.parametrize("which", [STANDBY, SERVER])
def test_killing_a_process_that_containers_are_forked_from_costs_no_call_and_no_import(
    own: LocalModal, client: modal.Client, which: int
) -> None:
    call = box(client, "a").sleep.spawn(3)
    wait_until_running(own, 1)
    os.kill(descendants(pid_of(own))[which], signal.SIGKILL)
    assert box(client, "b").sleep.remote(0) == "b"
    assert call.get(timeout=20) == "a"
    assert printed(own, "imported by survives") == 1


def test_a_call_whose_snapshot_is_killed_as_it_is_taken_is_lost_by_no_fault_of_its_own(
    own: LocalModal, client: modal.Client, tmp_path: Path
) -> None:
    assert box(client, "a").sleep.remote(0) == "a"
    before = set(descendants(pid_of(own)))
    deploy_with_hook(own, tmp_path, "waits", "print('waiting'); time.sleep(60)")
    call = modal.Cls.from_name("waits", "Box", environment_name="main", client=client)(name="a").sleep.spawn(0)
    end = time.monotonic() + 40
    while not printed(own, "waiting"):
        assert time.monotonic() < end
    for pid in set(descendants(pid_of(own))) - before:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with pytest.raises(modal.exception.InternalFailure, match="was killed"):
        call.get(timeout=20)


def test_each_set_of_parameters_that_a_snapshot_hook_reads_costs_no_import(
    own: LocalModal, client: modal.Client, tmp_path: Path
) -> None:
    own.run("stop")
    LocalModal(own.home, {**own.settings, "LOCAL_MODAL_PREFORK": "0"}).start()
    deploy_with_hook(own, tmp_path, "reads", "self.name = self.name + '!'")

    def name(given: str) -> str:
        instance = modal.Cls.from_name("reads", "Box", environment_name="main", client=client)(name=given)
        return str(instance.sleep.remote(0))

    assert [name(given) for given in ("a", "b", "a", "c")] == ["a!", "b!", "a!", "c!"]
    imports = printed(own, "imported by reads")
    snapshots = [pid for pid in descendants(pid_of(own)) if namespace_pids(pid)[1:] == [2]]
    assert len(snapshots) == 3
    for pid in snapshots:
        os.kill(pid, signal.SIGKILL)
    assert [name(given) for given in ("a", "d")] == ["a!", "d!"]
    assert printed(own, "imported by reads") == imports == 2


def test_a_snapshot_that_does_not_answer_is_taken_anew(own: LocalModal, client: modal.Client) -> None:
    assert box(client, "a").sleep.remote(0) == "a"
    own.run("stop")
    LocalModal(own.home, {**own.settings, "LOCAL_MODAL_START_DEADLINE": "1", "LOCAL_MODAL_PREFORK": "0"}).start()
    assert box(client, "a").sleep.remote(0) == "a"
    for child in descendants(pid_of(own)):
        os.kill(child, signal.SIGSTOP)
    with pytest.raises(modal.exception.InternalFailure, match="taken anew"):
        box(client, "b").sleep.remote(0)
    assert box(client, "b").sleep.remote(0) == "b"


def test_an_app_of_a_client_that_is_gone_has_ended_after_a_restart(own: LocalModal, client: modal.Client) -> None:
    left = modal.App("left-over")
    with left.run(client=client, environment_name="main", detach=False):
        own.run("stop")
        own.start()
        with closing(sqlite3.connect(own.home / "store.sqlite3")) as store:
            states = dict(store.execute("SELECT description, state FROM apps"))
    assert states == {"survives": api_pb2.APP_STATE_DEPLOYED, "left-over": api_pb2.APP_STATE_STOPPED}


def test_reset_starts_with_new_credentials_and_no_apps(own: LocalModal, client: modal.Client) -> None:
    before = own.client_env()
    own.run("reset")
    own.start()
    assert own.client_env()["MODAL_TOKEN_SECRET"] != before["MODAL_TOKEN_SECRET"]
    with pytest.raises(modal.exception.AuthError, match="local-modal env"):
        box(client, "a").sleep.remote(0)
