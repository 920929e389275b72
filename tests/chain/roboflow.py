"""A stand-in for the part of Roboflow's API that says whose an API key is: `GET /?api_key=…`, for API_BASE_URL.

Nothing else of that API is there: everything else is 404, as are the statistics that a server would like to send.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@contextmanager
def platform(workspaces: Mapping[str, Any]) -> Iterator[str]:
    """Its address. `workspaces` has what is answered as the workspace of a key; another key is unauthorized."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            key = parse_qs(address.query).get("api_key", [""])[0]
            if address.path != "/":
                self._answer(404, {"error": "no such page"})
            elif key not in workspaces:
                self._answer(401, {"error": "no such key"})
            else:
                self._answer(200, {"welcome": "hello", "workspace": workspaces[key]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(404, {"error": "no such page"})

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
