"""Deployments that end at any moment, and two at a time: the next one converges, and Modal is what the state says.

TEST_KILLS says how often a deployment is killed.
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.chain.pulumi.conftest import Deployment

pytestmark = pytest.mark.timeout(3600)
KILLS = int(os.environ.get("TEST_KILLS", "4"))
SEED = int(os.environ.get("TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
HELD = 75


def children(pid: int) -> list[int]:
    """Processes that descend from `pid`, and `pid` itself."""
    try:
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(found for child in own for found in children(int(child)))]


def named(pid: int, name: str) -> list[int]:
    return [found for found in children(pid) if Path(f"/proc/{found}/comm").read_text().strip() == name]


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def all_gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def wait_until_gone(pids: list[int], seconds: float = 30) -> None:
    """For processes that end by themselves, as what started them is gone."""
    end = time.monotonic() + seconds
    while not all_gone(pids):
        assert time.monotonic() < end, f"still there: {pids}"
        time.sleep(0.05)


def wait_for_lock(deployment: Deployment, process: subprocess.Popen[str]) -> None:
    """Until Pulumi has its lock on the stack."""
    while not list((deployment.backend / ".pulumi" / "locks").glob("**/*.json")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


def test_a_deployment_killed_at_any_moment_is_made_good_by_the_next(deployment: Deployment) -> None:
    random_number = random.Random(SEED)  # noqa: S311 - to be repeated, not to be secret
    begin = time.monotonic()
    deployment.run("up")
    whole = time.monotonic() - begin
    kills = count = 0
    while kills < KILLS:
        count += 1
        deployment.configure(
            timeout=40 + count,
            executorEnv={f"NAME_{count % 3}": str(count)},
            rotation=count,
            environment=f"env-{count % 2}",
        )
        process = deployment.start("up")
        try:
            process.wait(timeout=random_number.uniform(0, whole))
        except subprocess.TimeoutExpired:
            everything = children(process.pid)
            ways = [[process.pid], everything, named(process.pid, "pulumi") or everything, everything[-1:]]
            kill(random_number.choice(ways))
            kills += 1
        process.communicate()
        where = f"deployment {count} of seed {SEED}"
        deployment.run("up")
        assert deployment.inventory() == deployment.expected(), where
        assert not deployment.state().get("pending_operations"), where
        assert deployment.run("drift"), where
        assert deployment.resources("App")[0]["inputs"]["settings"]["CUSTOM_BLOCKS_TIMEOUT_SECONDS"] == str(40 + count)


def test_nothing_of_a_killed_deployment_goes_on(deployment: Deployment) -> None:
    deployment.run("up")
    deployment.configure(timeout=33)
    process = deployment.start("up")
    wait_for_lock(deployment, process)
    everything = children(process.pid)
    process.kill()
    process.communicate()
    wait_until_gone(everything)
    assert "its lock is cancelled" in deployment.run("up")
    assert deployment.inventory() == deployment.expected()


def test_a_second_deployment_stops_and_says_who_holds_the_stack(deployment: Deployment) -> None:
    process = deployment.start("up")
    wait_for_lock(deployment, process)
    said = deployment.run("up", status=HELD)
    assert f"up of stack local by pid {process.pid}, since 20" in said
    assert len(said.strip().splitlines()) == 1
    process.communicate()
    assert process.returncode == 0
    assert deployment.inventory() == deployment.expected()


def test_a_plain_pulumi_up_that_holds_the_stack_is_named_too(deployment: Deployment) -> None:
    deployment.run("up")
    deployment.configure(timeout=33)
    process = deployment.start("pulumi", "up", "--yes", "--skip-preview")
    wait_for_lock(deployment, process)
    (pid,) = named(process.pid, "pulumi")
    assert f"pid {pid} of " in deployment.run("up", status=HELD)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    deployment.run("up")


def test_a_lock_of_another_machine_is_left_to_a_human(deployment: Deployment) -> None:
    deployment.run("up")
    lock = deployment.backend / ".pulumi/locks/organization/inference-custom-blocks/local/1.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text('{"pid":1,"username":"ann","hostname":"elsewhere","timestamp":"2026-01-02T03:04:05.123456789Z"}')
    said = deployment.run("up", status=HELD)
    assert "pid 1 of ann@elsewhere, since 2026-01-02" in said
    assert "cancel --yes" in said
    assert lock.exists()
    deployment.run("pulumi", "cancel", "--yes")
    deployment.run("up")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_lets_pulumi_leave_the_stack_unlocked(deployment: Deployment, number: signal.Signals) -> None:
    process = deployment.start("up")
    assert process.stdout
    assert any("creating" in line for line in process.stdout), "Pulumi changes something now"
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 130
    assert not list((deployment.backend / ".pulumi" / "locks").glob("**/*.json"))
    deployment.run("up")
    assert deployment.inventory() == deployment.expected()
