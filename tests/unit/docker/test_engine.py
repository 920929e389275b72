"""docker/engine.sh, where it finds an engine or doesn't, and what the tests of the images make of that."""

import http.server
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
NOWHERE = "unix:///nowhere/docker.sock"


@contextmanager
def answering(path: Path) -> Iterator[str]:
    """The address of something that answers the question for a sign of life, as an engine does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/_ping" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()


def engine(*arguments: str, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ENGINE_HOME": str(home), **settings}
    command = [str(ROOT / "docker" / "engine.sh"), *arguments]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=30)


@pytest.mark.parametrize("verb", ["start", "find"])
def test_the_engine_that_docker_host_names_is_used(tmp_path: Path, verb: str) -> None:
    with answering(tmp_path / "docker.sock") as address:
        done = engine(verb, home=tmp_path / "home", DOCKER_HOST=address)
    assert (done.returncode, done.stdout) == (0, f"export DOCKER_HOST={address}\n")
    assert "the one that DOCKER_HOST names" in done.stderr


@pytest.mark.parametrize("verb", ["start", "find"])
def test_one_that_does_not_answer_is_not_replaced_by_another(tmp_path: Path, verb: str) -> None:
    done = engine(verb, home=tmp_path, DOCKER_HOST=NOWHERE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"engine: DOCKER_HOST={NOWHERE} does not answer; start that engine, or unset DOCKER_HOST\n"


def test_only_an_engine_that_it_started_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "dockerd.pid").write_text(str(os.getpid()))
    for home, reason in ((tmp_path / "none", "none was started"), (tmp_path, "no longer runs")):
        done = engine("stop", home=home)
        assert done.returncode == 1
        assert reason in done.stderr


def test_a_verb_that_there_is_not_is_one_line(tmp_path: Path) -> None:
    done = engine("restart", home=tmp_path)
    assert (done.returncode, done.stderr) == (1, "engine: no verb restart: start, find or stop\n")


@pytest.mark.parametrize(("required", "status", "counted"), [("", 0, "1 skipped"), ("1", 1, "1 error")])
def test_without_an_engine_a_test_is_not_run_and_where_one_is_required_it_fails(
    required: str, status: int, counted: str
) -> None:
    test = "tests/docker/test_base.py::test_an_image_that_is_there_is_said_to_be"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test],
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": NOWHERE, "REQUIRE_DOCKER": required, "CI": ""},
        text=True,
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == status, done.stdout
    assert counted in done.stdout
    assert ("REQUIRE_DOCKER=1, and there is no Docker engine" if required else "NOT RUN: engine: ") in done.stdout
