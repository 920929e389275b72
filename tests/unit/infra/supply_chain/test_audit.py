"""pip-audit itself, asking a database on loopback that knows what a test says, or nobody."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.supply_chain.audit import NOT_RUN, VULNERABLE, audit

HASH = f"--hash=sha256:{'0' * 64}"


class Database(ThreadingHTTPServer):
    """Speaks OSV's query, https://google.github.io/osv.dev/post-v1-query."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Query)
        self.known: set[str] = set()
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/query"


class Query(BaseHTTPRequestHandler):
    server: Database

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["package"]["name"]
        self.server.asked.append(name)
        answer = json.dumps({"vulns": [vulnerability(name)]} if name in self.server.known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def vulnerability(name: str) -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": "9.9"}]
    affected = {
        "package": {"name": name, "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    return {"id": f"OSV-{name}", "summary": "", "affected": [affected], "published": "2020-01-01T00:00:00Z"}


@pytest.fixture
def database() -> Iterator[Database]:
    with Database() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.known.add(VULNERABLE[0])
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.some.txt"
    path.write_text(f"first==1.0 {HASH}\nsecond==2.0 {HASH}\n")
    return path


def test_a_list_of_which_nothing_is_known_passes(
    database: Database, requirements: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit([requirements], database.url) == 0
    assert capsys.readouterr().out == "audit: requirements.some.txt: 2 packages, 0 known vulnerabilities\n"
    assert sorted(database.asked) == sorted([VULNERABLE[0], "first", "second"])


def test_what_is_known_is_named_and_fails(
    database: Database, requirements: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.known.add("second")
    assert audit([requirements], database.url) == 1
    said = capsys.readouterr().out
    assert "  second 2.0: OSV-second, fixed in 9.9\n" in said
    assert "2 packages, 1 known vulnerabilities" in said


def test_a_database_that_knows_nothing_at_all_is_no_pass(
    database: Database, requirements: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.known.clear()
    assert audit([requirements], database.url) == NOT_RUN
    assert "audit: NOT RUN" in capsys.readouterr().out
    assert "first" not in database.asked


def test_neither_is_one_that_can_not_be_reached(requirements: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit([requirements], "http://127.0.0.1:9/v1/query") == NOT_RUN
    said = capsys.readouterr().out
    assert said.startswith("audit: NOT RUN, http://127.0.0.1:9/v1/query gave no answer to trust: ")
    assert len(said.splitlines()) == 1


def test_neither_is_a_list_without_packages(database: Database, tmp_path: Path) -> None:
    empty = tmp_path / "requirements.txt"
    empty.write_text("# nothing\n")
    assert audit([empty], database.url) == NOT_RUN
