"""What a running control plane says of itself to those who look for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_modal.cli import main
from local_modal.daemon import Running

ROOT = Path(__file__).parents[3]
NOT_EVEN_ROOTS = "/sys/local-modal"
"""A folder that nobody can make."""


def test_clients_are_given_the_advertised_address_by_whoever_asks_later(tmp_path: Path) -> None:
    settings = {"LOCAL_MODAL_HOME": str(tmp_path), "LOCAL_MODAL_PORT": "0"}

    def local_modal(*arguments: str, **more: str) -> str:
        command = [sys.executable, "-m", "local_modal", *arguments]
        environment = {**os.environ, **settings, **more}
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout

    local_modal("start", LOCAL_MODAL_ADVERTISED_URL="https://modal.example")
    try:
        running = Running.find(tmp_path)
        assert running is not None
        assert running.url.startswith("http://127.0.0.1:")
        assert json.loads(local_modal("env", "--format", "json"))["MODAL_SERVER_URL"] == "https://modal.example"
    finally:
        local_modal("stop")


def test_it_is_started_found_and_called_without_the_proxy_of_the_machine(tmp_path: Path) -> None:
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:1")
    kept = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    environment = {**kept, **proxies, "LOCAL_MODAL_HOME": str(tmp_path), "LOCAL_MODAL_PORT": "0"}

    def run(*command: str, **more: str) -> str:
        arguments = [sys.executable, "-m", *command]
        done = subprocess.run(
            arguments, env={**environment, **more}, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    run("local_modal", "start")
    try:
        assert json.loads(run("local_modal", "status", "--json"))["running"] is True
        client = json.loads(run("local_modal", "env", "--format", "json"))
        assert "main" in run("modal", "environment", "list", "--json", **client)
    finally:
        run("local_modal", "stop")


@pytest.mark.parametrize("command", ["start", "env"])
def test_a_folder_that_can_not_be_written_is_said_in_a_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_MODAL_HOME", NOT_EVEN_ROOTS)
    assert main([command]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"local-modal: {NOT_EVEN_ROOTS}: ")
    assert "LOCAL_MODAL_HOME" in line


def test_clients_beside_it_are_given_its_own_address() -> None:
    assert Running(1, "http://127.0.0.1:5", 0.0).client_url == "http://127.0.0.1:5"
