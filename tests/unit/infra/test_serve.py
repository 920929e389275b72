"""What a person is told who starts a server: a port that can't be used, and the command that runs a workflow on it."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from infra import serve
from infra.converge.errors import ConvergeError
from infra.converge.stack import Stack
from infra.serve import command_for, free_port

STUBBORN = """
import os, pathlib, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
pathlib.Path(os.environ["TOLD"]).write_text(os.environ["MODEL_CACHE_DIR"])
time.sleep(600)
"""


def test_a_port_that_is_taken_is_named_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(ConvergeError) as raised:
            free_port(port)
    assert str(raised.value) == (
        f"127.0.0.1:{port} can't be used (Address already in use): choose another, make serve PORT=9002"
    )
    assert free_port(port) == int(port)


@pytest.mark.parametrize("text", ["", "0", "-1", "65536", "http", "9001 ", "٩", "1e3"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ConvergeError, match=f"PORT={text} must be a number from 1 to 65535"):
        free_port(text)


def test_where_nobody_may_run_blocks_the_command_puts_the_key_into_the_request(tmp_path: Path) -> None:
    """What it would send is what `curl` is given on stdin, here `cat`; the key is in no command line."""
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"api_key": None, "inputs": {"text": '"api_key": no'}}))
    command = command_for(9001, request, {})
    assert "curl -s http://127.0.0.1:9001/workflows/run" in command
    read, _, send = command.partition("\n")
    script = f"{read}\n{send.partition('| curl')[0]}"
    done = subprocess.run(["bash", "-c", script], input="a-key\n", text=True, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"api_key": "a-key", "inputs": {"text": '"api_key": no'}}


def test_where_anybody_may_it_sends_the_request_as_it_is(tmp_path: Path) -> None:
    command = command_for(9002, tmp_path / "r.json", {"MODAL_ALLOW_ANONYMOUS_EXECUTION": "True"})
    assert command.strip() == (
        f"curl -s http://127.0.0.1:9002/workflows/run -H 'Content-Type: application/json' -d @{tmp_path / 'r.json'}"
    )


def test_a_server_that_doesnt_end_is_ended_and_its_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "start.py").write_text(STUBBORN)
    monkeypatch.setattr(serve, "ROOT", tmp_path)
    monkeypatch.setattr(serve, "END_SECONDS", 0.2)
    told = tmp_path / "told"

    def interrupt() -> None:
        while not (told.exists() and told.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGTERM)
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    threading.Thread(target=interrupt).start()
    try:
        assert serve.serve({**os.environ, "TOLD": str(told)}, "http", Stack("local"), 9001, None) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, ignored)
    assert "the server didn't end within 0.2 s, and is ended" in capsys.readouterr().err
    assert not Path(told.read_text()).parent.exists()
