"""A session in the sandbox: state as long as the connection, and an end for a block that overruns its limit."""

import multiprocessing
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import msgpack
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from modal_app.sandbox.session import session_app

with warnings.catch_warnings():  # uvicorn's own, about the library of that name
    warnings.simplefilter("ignore")
    import uvicorn.protocols.websockets.websockets_impl

COUNT = """
seen = []

def run(self):
    seen.append(1)
    globals['n'] = globals.get('n', 0) + 1
    return {'seen': len(seen), 'n': globals['n'], 'r': float(np.random.random())}
"""
OTHER = "def run(self):\n    return {'n': globals.get('n')}"
FOREVER = "def run(self):\n    while True: pass"
IN_C = "def run(self):\n    import re\n    re.match('(a+)+$', 'a' * 60 + 'b')"
"""Doesn't let another thread of Python run."""


def serve(listening: socket.socket, settings: dict[str, str]) -> None:
    """What a container of a Session does, in a process that ends with it."""
    warnings.simplefilter("ignore")
    config = uvicorn.Config(session_app("acme", settings), log_level="error", ws="websockets", lifespan="off")
    uvicorn.Server(config).run([listening])


@contextmanager
def container(**settings: str) -> Iterator[tuple[BaseProcess, str]]:
    """A process of its own, forked as a container is from its snapshot, and where it serves."""
    variables = {f"CUSTOM_BLOCKS_{name.upper()}": value for name, value in settings.items()}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = multiprocessing.get_context("fork").Process(target=serve, args=(listening, variables))
        process.start()
        port = listening.getsockname()[1]
    try:
        yield process, f"ws://127.0.0.1:{port}/ws?workspace_id="
    finally:
        process.kill()
        process.join()


def ask(connection: Any, source: str, request_id: str = "r") -> dict[str, Any]:
    fields = {"request_id": request_id, "code_str": source, "run_function_name": "run", "inputs": {}}
    connection.send(msgpack.packb(fields))
    answer: dict[str, Any] = msgpack.unpackb(connection.recv(20))
    return answer


@contextmanager
def session_at(url: str) -> Iterator[ClientConnection]:
    with connect(url, compression=None, proxy=None, open_timeout=30) as connection:
        connection.send(msgpack.packb({"_kind": "hello", "proto": 2, "session_id": "s"}))
        assert msgpack.unpackb(connection.recv(10))["_kind"] == "hello"
        yield connection


def test_state_lasts_as_long_as_the_connection_and_a_failure_leaves_it() -> None:
    with container() as (_, url), session_at(url + "acme") as session:
        first, failed, second, other = (
            ask(session, source, str(number)) for number, source in enumerate((COUNT, "1 / 0", COUNT, OTHER))
        )
    assert (first["result"]["seen"], first["result"]["n"]) == (1, 1)
    assert failed["error"] == "Code initialization failed: division by zero"
    assert (second["result"]["seen"], second["result"]["n"]) == (2, 2)
    assert second["result"]["r"] != first["result"]["r"]
    assert other["result"] == {"n": 2}


@pytest.mark.parametrize("query", ["rival", "", "acme&workspace_id=acme"])
def test_a_container_serves_its_own_workspace_only(query: str) -> None:
    with container() as (_, url), pytest.raises(InvalidStatus), session_at(url + query):
        pass


@pytest.mark.parametrize("source", [FOREVER, "def run(self):\n    time.sleep(60)"], ids=["busy", "asleep"])
def test_a_block_that_overruns_is_answered_for_and_ends_its_container(source: str) -> None:
    with container(timeout_seconds="1") as (process, url), session_at(url + "acme") as session:
        answer = ask(session, source)
        assert (answer["error_type"], answer["server_error"]) == ("TimeoutError", True)
        with pytest.raises(ConnectionClosed):
            session.recv(10)
        process.join(20)
        assert process.exitcode == 1


def test_code_that_never_returns_to_python_ends_its_container_too() -> None:
    with container(timeout_seconds="1") as (process, url), session_at(url + "acme") as session:
        session.send(msgpack.packb({"code_str": IN_C, "run_function_name": "run", "inputs": {}, "request_id": "r"}))
        process.join(20)
        assert process.exitcode == 1
