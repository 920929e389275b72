"""The provider as a process: what stops it, and that nothing it started outlives it."""

import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.protobuf import empty_pb2

from tests.unit.infra.modal_provider import driver
from tests.unit.infra.modal_provider.conftest import Account
from tests.unit.infra.modal_provider.driver import Provider, Refused, State

DEPLOY = {"name": "tiny", "environment": "main", "settings": {}, "sourceHash": "one", "module": "hanging_app"}
SECONDS = 30.0
RELAY = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
"""Stands between engine and provider, as Pulumi's language host does."""


@contextmanager
def busy(account: Account, modules: dict[str, str], *through: str) -> Iterator[tuple[Provider, Future[State], int]]:
    """A provider in the middle of a deployment that never ends, that call, and a pidfd of what deploys."""
    with driver.provider({**account.variables, **modules}, through=through) as running, ThreadPoolExecutor(1) as pool:
        call = pool.submit(running.create, "App", DEPLOY)
        line = running.engine.lines.get(timeout=SECONDS).message
        while not (match := re.fullmatch(r"child (\d+)", line)):
            line = running.engine.lines.get(timeout=SECONDS).message
        descriptor = os.pidfd_open(int(match[1]))
        try:
            yield running, call, descriptor
        finally:
            os.close(descriptor)


def ended(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], SECONDS)[0])


def closed(running: Provider) -> bool:
    """Whether the provider itself went, whoever its parent was."""
    assert running.process.stdout is not None
    reader = threading.Thread(target=running.process.stdout.read, daemon=True)
    reader.start()
    reader.join(SECONDS)
    return not reader.is_alive()


def test_cancel_stops_a_deployment_and_what_deploys(account: Account, modules: dict[str, str]) -> None:
    with busy(account, modules) as (running, call, child):
        running.stub.Cancel(empty_pb2.Empty())
        with pytest.raises(Refused, match="cancelled before it was done"):
            call.result(SECONDS)
        assert ended(child)
        with pytest.raises(Refused, match="cancelled"):
            running.create("App", DEPLOY)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_its_work(account: Account, modules: dict[str, str], number: signal.Signals) -> None:
    with busy(account, modules) as (running, call, child):
        running.process.send_signal(number)
        with pytest.raises(Refused, match="cancelled before it was done"):
            call.result(SECONDS)
        assert ended(child)
        assert running.process.wait(SECONDS) == 0
        assert running.stderr == []


def test_it_ends_when_its_engine_is_gone(account: Account, modules: dict[str, str]) -> None:
    with busy(account, modules) as (running, _call, child):
        running.engine.stop()
        assert running.process.wait(SECONDS) == 0
        assert ended(child)


def test_it_ends_when_its_parent_is_gone(account: Account, modules: dict[str, str]) -> None:
    with busy(account, modules, sys.executable, "-c", RELAY) as (running, _call, child):
        running.process.kill()
        assert closed(running)
        assert ended(child)


def test_a_killed_provider_leaves_nothing_that_deploys(account: Account, modules: dict[str, str]) -> None:
    with busy(account, modules) as (running, _call, child):
        running.process.kill()
        assert ended(child)


def test_progress_stands_beside_the_resource_and_does_not_stay(account: Account, modules: dict[str, str]) -> None:
    with driver.provider({**account.variables, **modules}) as running:
        with pytest.raises(Refused):
            running.create("App", {**DEPLOY, "module": "failing_app"})
        first = running.engine.lines.get(timeout=SECONDS)
        assert first.urn == running.urn("App")
        assert first.ephemeral


def test_no_secret_stands_in_the_arguments_of_a_process(account: Account, modules: dict[str, str]) -> None:
    def arguments(pid: int) -> str:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")

    secrets = [account.variables["MODAL_TOKEN_SECRET"], modules["PULUMI_CONFIG_PASSPHRASE"]]
    with busy(account, modules) as (running, _call, child):
        pid = pid_of(child)
        for text in (arguments(running.process.pid), arguments(pid)):
            assert text
            assert not any(secret in text for secret in secrets)
        running.stub.Cancel(empty_pb2.Empty())


def pid_of(descriptor: int) -> int:
    fields = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    match = re.search(r"^Pid:\s*(\d+)", fields, re.MULTILINE)
    assert match
    return int(match[1])


def test_it_starts_from_any_folder_and_without_an_engine(account: Account) -> None:
    with driver.provider(account.variables) as running:
        assert running.failures("Environment", {}) == {"name": "is required"}
        assert running.stderr == []


NESTED = """
import signal, sys
from infra.modal_provider.process import Requests

requests = Requests()


def interrupt(frame, event, argument):
    signal.raise_signal(signal.SIGINT)


sys.settrace(interrupt)  # at every function that the handler of the first one enters
signal.raise_signal(signal.SIGTERM)
sys.settrace(None)
assert requests.wait(0)
"""


def test_signals_that_interrupt_the_handling_of_one_another_end_it_all_the_same() -> None:
    subprocess.run([sys.executable, "-c", NESTED], cwd=driver.ROOT, timeout=SECONDS, check=True)
