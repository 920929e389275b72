"""The snapshot of a web endpoint: taken at the first request, not when it is deployed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import modal
import pytest

from tests.contract.conftest import LocalModal, connected
from tests.contract.test_lifecycle import pid_of

APP = """
import modal

app = modal.App("seldom")
settings = dict(image=modal.Image.debian_slim(python_version="3.11"), enable_memory_snapshot=True)


@app.cls(single_use_containers=True, **settings)
class Box:
    @modal.method()
    def number(self):
        return 7


@app.cls(**settings)
class Door:
    name: str = modal.parameter(default="")

    @modal.asgi_app()
    def web(self):
        async def answer(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"open"})

        return answer
"""


def trees(own: LocalModal) -> int:
    """How many trees of processes the control plane has started: one a snapshot."""
    children = Path(f"/proc/{pid_of(own)}/task").glob("*/children")
    return sum(len(each.read_text().split()) for each in children)


def test_it_is_taken_at_the_first_request(own: LocalModal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.start()
    variables = own.client_env()
    path = tmp_path / "seldom.py"
    path.write_text(APP)
    command = [sys.executable, "-m", "modal", "deploy", str(path)]
    subprocess.run(command, env={**os.environ, **variables}, check=True, capture_output=True, timeout=100)
    monkeypatch.setenv("MODAL_SERVER_URL", variables["MODAL_SERVER_URL"])
    with connected(variables["MODAL_TOKEN_ID"], variables["MODAL_TOKEN_SECRET"]) as client:

        def instance(name: str) -> Any:
            return modal.Cls.from_name("seldom", name, environment_name="main", client=client)()

        assert instance("Box").number.remote() == 7
        assert trees(own) == 1
        assert httpx.get(str(instance("Door").web.get_web_url()), timeout=60).text == "open"
        assert trees(own) == 2
