"""The client's commands for containers and for following logs, as their `--help` says."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import modal
import modal.exception
import pytest

from tests.contract.conftest import Deploy, lookup

Cli = Callable[..., CompletedProcess[str]]
SOURCE = """
    import os
    import time

    import modal

    app = modal.App("{app}")


    @app.function(image=modal.Image.debian_slim(python_version="3.11"), timeout=60, max_containers=1)
    def wait(seconds, word="waiting"):
        print(word, "in", os.getpid(), flush=True)
        time.sleep(seconds)
        return os.environ["MODAL_TASK_ID"]
"""


@pytest.fixture
def app(deploy: Deploy, cli: Cli) -> Iterator[str]:
    """An app of the test's own."""
    name = f"held-{uuid4().hex[:8]}"
    deploy(SOURCE.replace("{app}", name))
    yield name
    cli("app", "stop", name, "--yes", check=False)


@pytest.fixture
def wait(app: str, environment: str) -> modal.Function[Any, Any, Any]:
    return modal.Function.from_name(app, "wait", environment_name=environment)


def containers(cli: Cli, app: str) -> list[str]:
    listed = json.loads(cli("container", "list", "--json").stdout)
    return [entry["container_id"] for entry in listed if entry["app_name"] == app]


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives as soon as it gives something."""
    end = time.monotonic() + 40
    while not (found := condition()):
        assert time.monotonic() < end
    return found


def follow(environment: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "modal", *arguments],
        env={**os.environ, "MODAL_ENVIRONMENT": environment, "COLUMNS": "200"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_a_container_is_listed_while_it_lives(app: str, wait: modal.Function[Any, Any, Any], cli: Cli) -> None:
    assert containers(cli, app) == []
    ran_in = wait.remote(0)
    assert containers(cli, app) == [ran_in]
    listed = json.loads(cli("container", "list", "--json").stdout)
    (app_id,) = {entry["app_id"] for entry in listed if entry["app_name"] == app}
    assert containers(cli, app) == [
        entry["container_id"] for entry in json.loads(cli("container", "list", "--app-id", app_id, "--json").stdout)
    ]


def test_a_stopped_container_ends_and_its_input_runs_in_another(
    app: str, wait: modal.Function[Any, Any, Any], cli: Cli
) -> None:
    call = wait.spawn(4)
    (first,) = until(lambda: containers(cli, app))
    cli("container", "stop", first, "--yes")
    assert call.get(timeout=40) != first
    again = cli("container", "stop", first, "--yes", check=False)
    assert again.returncode != 0
    assert "already stopped" in again.stdout + again.stderr


def test_a_container_stopped_gracefully_finishes_its_input_and_gets_no_more(
    app: str, wait: modal.Function[Any, Any, Any], cli: Cli
) -> None:
    call = wait.spawn(4)
    (first,) = until(lambda: containers(cli, app))
    cli("container", "stop", first, "--graceful", "--yes")
    assert call.get(timeout=40) == first
    assert wait.remote(0) != first


def test_stopping_a_container_that_never_was_says_so(cli: Cli) -> None:
    failed = cli("container", "stop", "ta-" + "x" * 22, "--yes", check=False)
    assert failed.returncode != 0
    assert "not found" in failed.stdout + failed.stderr


def test_a_containers_log_is_fetched_while_it_lives_and_after(
    app: str, wait: modal.Function[Any, Any, Any], cli: Cli
) -> None:
    first = wait.remote(0, "apple")
    until(lambda: "apple" in cli("container", "logs", first).stdout)
    cli("container", "stop", first, "--yes")
    wait.remote(0, "pear")
    until(lambda: "pear" in cli("app", "logs", app).stdout)
    text = cli("container", "logs", first, "--all").stdout
    assert "apple" in text
    assert "pear" not in text
    assert "apple" in cli("container", "logs", first, "--since", "1h", "--search", "apple").stdout


def test_a_followed_container_log_ends_with_its_container(
    wait: modal.Function[Any, Any, Any], cli: Cli, environment: str
) -> None:
    first = wait.remote(0, "seen")
    following = follow(environment, "container", "logs", first, "-f")
    try:
        assert following.stdout is not None
        until(lambda: "seen" in str(following.stdout and following.stdout.readline()))
        cli("container", "stop", first, "--yes")
        assert following.wait(timeout=40) == 0
    finally:
        following.kill()
        following.communicate()


def test_a_followed_app_log_shows_what_comes(app: str, wait: modal.Function[Any, Any, Any], environment: str) -> None:
    following = follow(environment, "app", "logs", app, "-f")
    try:
        assert following.stdout is not None
        word = uuid4().hex
        calls = [wait.spawn(0.5, word) for _ in range(20)]
        until(lambda: word in str(following.stdout and following.stdout.readline()))
        assert len(modal.FunctionCall.gather(*calls)) == 20
    finally:
        following.kill()
        following.communicate()


def test_an_apps_log_is_narrowed_by_time_and_source(app: str, wait: modal.Function[Any, Any, Any], cli: Cli) -> None:
    wait.remote(0, "narrow")
    until(lambda: "narrow" in cli("app", "logs", app, "--since", "1h", "--source", "stdout").stdout)
    assert "narrow" not in cli("app", "logs", app, "--since", "2h", "--until", "1h").stdout
    assert "narrow" not in cli("app", "logs", app, "--since", "1h", "--source", "system").stdout
    assert "narrow" not in cli("app", "logs", app, "--since", "1h", "--source", "stderr").stdout
    assert "narrow" in cli("app", "logs", app, "--function", wait.object_id, "--since", "1h").stdout


STREAMS = """
import os
import sys

import modal

app = modal.App("streams")
image = modal.Image.debian_slim(python_version="3.11")


@app.function(image=image, timeout=20)
def plain():
    for number in range(3):
        print(f"out {number}")
        print(f"err {number}", file=sys.stderr)
    os.write(1, b"out of a descriptor\\n")
    os.write(2, b"err of a descriptor\\n")


@app.cls(image=image, timeout=20, single_use_containers=True, enable_memory_snapshot=True)
class Forked:
    @modal.enter(snap=True)
    def start(self):
        print("out of a snapshot")
        print("err of a snapshot", file=sys.stderr)

    @modal.method()
    def go(self):
        plain.local()
"""


def test_stdout_and_stderr_are_told_apart_each_in_its_order(deploy: Deploy, cli: Cli, environment: str) -> None:
    deploy(STREAMS)
    modal.Function.from_name("streams", "plain", environment_name=environment).remote()
    lookup("streams", "Forked", environment).go.remote()

    def shown(source: str) -> str:
        return cli("app", "logs", "streams", "--since", "1h", "--source", source).stdout

    until(
        lambda: shown("stderr").count("err of a descriptor") == 2 and shown("stdout").count("out of a descriptor") == 2
    )
    for source, word, other in (("stdout", "out", "err"), ("stderr", "err", "out")):
        text = shown(source)
        for line in ("0", "1", "2", "of a descriptor", "of a snapshot"):
            assert f"{word} {line}" in text
        assert f"{other} " not in text
        assert text.index(f"{word} 0") < text.index(f"{word} 1") < text.index(f"{word} 2")
    assert "err" not in shown("system")


@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_a_rollover_brings_new_containers_and_one_more_version(
    app: str, wait: modal.Function[Any, Any, Any], cli: Cli, strategy: str
) -> None:
    first = wait.remote(0)
    assert "Rollover completed" in cli("app", "rollover", app, "--strategy", strategy).stdout
    assert wait.remote(0) != first
    until(lambda: first not in containers(cli, app))
    history = json.loads(cli("app", "history", app, "--json").stdout)
    assert [entry["version"] for entry in history] == ["v2", "v1"]


def test_a_rolling_rollover_lets_inputs_finish_where_they_run(
    app: str, wait: modal.Function[Any, Any, Any], cli: Cli
) -> None:
    call = wait.spawn(5)
    (first,) = until(lambda: containers(cli, app))
    cli("app", "rollover", app)
    assert call.get(timeout=40) == first


def test_an_app_runs_as_long_as_its_client(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("run") / "ephemeral_app.py"
    source = """
import modal

app = modal.App("ephemeral")


@app.function(image=modal.Image.debian_slim(python_version="3.11"), timeout=20)
def shout(word: str):
    print("shouted", word.upper())
    return len(word)


@app.local_entrypoint()
def main():
    print("length", shout.remote("moo"))
"""
    path.write_text(source)
    said = cli("run", str(path)).stdout
    assert "length 3" in said
    assert "shouted MOO" in said
    assert "shouted ONE" in cli("run", f"{path}::shout", "--word", "one").stdout
    states = {entry["state"] for entry in json.loads(cli("app", "list", "--json").stdout) if "ephemeral" in str(entry)}
    assert states == {"stopped"}


@pytest.mark.usefixtures("local")
def test_a_shell_is_refused_by_name(cli: Cli, app: str, wait: modal.Function[Any, Any, Any]) -> None:
    assert app
    ran_in = wait.remote(0)
    for arguments in (("shell", "--cmd", "ls"), ("shell", ran_in, "--cmd", "ls"), ("container", "exec", ran_in, "ls")):
        failed = cli(*arguments, check=False)
        assert failed.returncode != 0
        assert "it has no shell" in failed.stdout + failed.stderr, arguments
        assert "Traceback" not in failed.stderr
