"""What the smoke test's released client says of a door that is shut or open, without a token to go in with."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modal_app.settings import DOORS
from modal_app.smoke.environment import address_variable


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The address of something that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, {"detail": "refuses who has no token; none is given to try it with"}),
        (200, {"error": "it answers 200 to who has no token, and not 401"}),
        (502, {"error": "it answers 502 to who has no token, and not 401"}),
    ],
)
def test_who_has_no_token_is_to_be_refused_by_each_door(status: int, said: dict[str, str]) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MODAL_", "SMOKE_"))}
    with answering(status) as url:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "modal_app.smoke.released"],
            env={**inherited, "NO_PROXY": "127.0.0.1", **{address_variable(door): url for door in DOORS}},
            text=True,
            capture_output=True,
            check=True,
            timeout=100,
        )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"door"')]
    assert lines == [{"door": door, **said} for door in DOORS]
