"""What the HTTP door makes of a request that no released client sends: a defined answer, and nothing left behind."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from modal_app.gateway.codes import Code
from modal_app.gateway.problems import Problem
from modal_app.gateway.requests import Work
from modal_app.settings import Limits, WebSettings
from tests.unit.modal_app.gateway.doors import Doors, doors

SOURCE = "def run(self, x):\n    return {'x': x}"
HASH = Code(SOURCE, ()).hash
GOOD = {
    "code_hash": HASH,
    "code_str": SOURCE,
    "imports": [],
    "run_function_name": "run",
    "inputs_json": '{"x": 1}',
    "workflow_context": {},
}
SETTINGS = WebSettings(request_bytes=100_000, answer_seconds=2)


@pytest.fixture(scope="module")
def opened() -> Iterator[Doors]:
    with doors(SETTINGS) as opened:
        yield opened


def post(opened: Doors, body: bytes, query: str = "?workspace_id=acme", **headers: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", opened.port, timeout=10)
    connection.request("POST", "/" + query, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response: HTTPResponse = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def run(opened: Doors, query: str = "?workspace_id=acme", **changes: Any) -> dict[str, Any]:
    fields = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    status, text = post(opened, json.dumps(fields).encode(), query)
    assert status == 200, text
    answer: dict[str, Any] = json.loads(text)
    return answer


def test_plain_json_does_too(opened: Doors) -> None:
    answer = run(opened)
    assert answer["success"] is True
    assert answer["result"] == '{"x": 1}'
    assert answer["stdout"] is None
    assert answer["execution_time_seconds"] >= 0


PACKED = gzip.compress(json.dumps(GOOD).encode())
BOMB = gzip.compress(b" " * 100_000_000)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (PACKED[:-1], 400, "cut short"),
        (PACKED[:20], 400, "cut short"),
        (PACKED + PACKED, 400, "something follows"),
        (b"no gzip", 400, "not gzip"),
        (b"", 400, "cut short"),
        (BOMB, 413, "more than 100,000 bytes"),
        (gzip.compress(b"{"), 400, "not JSON"),
        (gzip.compress(b"[" * 90_000), 400, "not JSON"),
        (gzip.compress(b"[]"), 400, "not a JSON object"),
    ],
    ids=["truncated", "half", "two", "other", "empty", "bomb", "no JSON", "deep", "a list"],
)
def test_a_body_that_is_not_what_it_says(opened: Doors, body: bytes, status: int, reason: str) -> None:
    got, text = post(opened, body, Content_Encoding="gzip")
    assert got == status
    assert reason in text
    assert opened.service.budget.left == SETTINGS.waiting_bytes


def test_a_large_body_and_another_encoding(opened: Doors) -> None:
    assert post(opened, b"x" * 100_001)[0] == 413
    assert post(opened, b"x", Content_Encoding="br")[0] == 415


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"code_hash": "0" * 32}, "not the hash of"),
        ({"code_hash": "../x"}, "not a hash"),
        ({"code_str": 7}, "code_str is not a text"),
        ({"imports": [7]}, "not a text"),
        ({"imports": "import os"}, "no list"),
        ({"run_function_name": ""}, "not the name"),
        ({"run_function_name": "x" * 513}, "not the name"),
        ({"inputs_json": {"x": 1}}, "inputs_json is not a text"),
        ({"workflow_context": []}, None),
        ({"workflow_context": [1]}, "not a map"),
        ({"workflow_context": {"step_name": 7}}, "not a short text"),
        ({"inputs_json": "[1]"}, "not a map from names"),
        ({"inputs_json": "{"}, "can't be read"),
        ({"inputs_json": '{"x": {"_type": "datetime", "value": 1}}'}, "input 'x' can't be read"),
        ({"inputs_json": '{"x": {"_type": "workflow_image", "value": "/etc/hostname"}}'}, "input 'x' can't be read"),
        ({"inputs_json": '{"x": {"_type": "sv_detections"}}'}, "input 'x' can't be read"),
    ],
    ids=str,
)
def test_fields_that_do_not_fit(opened: Doors, changes: dict[str, Any], reason: str | None) -> None:
    status, text = post(opened, json.dumps({**GOOD, **changes}).encode())
    if reason is None:
        assert status == 200
        return
    assert status == 400
    assert text.startswith("InvalidRequest: ")
    assert reason in text


def test_neither_hash_nor_code(opened: Doors) -> None:
    answer = run(opened, code_hash=None, code_str=None)
    assert (answer["success"], answer["error_type"], answer["server_error"]) == (False, "InvalidRequest", True)


def test_an_unknown_hash_asks_for_the_code_and_runs_nothing(opened: Doors) -> None:
    before = len(opened.runner.workspaces)
    answer = run(opened, code_hash="f" * 32, code_str=None)
    assert (answer["error_type"], answer["server_error"], answer["code_hash"]) == ("UnknownCodeHash", True, "f" * 32)
    assert len(opened.runner.workspaces) == before


def test_a_hash_belongs_to_the_workspace_that_sent_the_code(opened: Doors) -> None:
    assert run(opened, "?workspace_id=owner")["success"]
    assert run(opened, "?workspace_id=owner", code_str=None)["success"]
    assert run(opened, "?workspace_id=other", code_str=None)["error_type"] == "UnknownCodeHash"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 403),
        ("?workspace_id=", 403),
        ("?workspace_id=anonymous", 403),
        ("?workspace_id=unauthorized", 403),
        ("?workspace_id=a&workspace_id=b", 400),
        ("?workspace_id=a&workspace_id=a", 400),
        ("?workspace_id=a%00", 400),
        ("?workspace_id=a%0ab", 400),
        ("?workspace_id=a+b", 400),
        ("?workspace_id=..%2fb", 400),
        ("?workspace_id=%C3%A4", 400),
        ("?workspace_id=" + "a" * 129, 400),
        ("?workspace_id=" + "a" * 2000, 400),
        ("?" + "&".join(f"x{n}=1" for n in range(20)), 400),
    ],
)
def test_a_workspace_that_is_none(opened: Doors, query: str, status: int) -> None:
    before = len(opened.runner.workspaces)
    assert post(opened, json.dumps(GOOD).encode(), query)[0] == status
    assert len(opened.runner.workspaces) == before


def test_anonymous_callers_where_they_are_allowed() -> None:
    with doors(WebSettings(anonymous="allow")) as opened:
        assert run(opened, "")["success"]
        assert run(opened, "?workspace_id=unauthorized")["success"]
        assert opened.runner.workspaces == ["anonymous", "anonymous"]


def test_an_answer_comes_before_the_client_gives_up() -> None:
    end = threading.Event()

    def late(_: Work, __: Limits) -> bytes:
        end.wait(10)
        return b""

    with doors(WebSettings(answer_seconds=1), late) as opened:
        answer = run(opened)
        end.set()
    assert (answer["success"], answer["error_type"], answer["server_error"]) == (False, "TimeoutError", True)


def test_a_sandbox_that_cannot_be_reached_is_no_failure_of_the_block() -> None:
    def unreachable(_: Work, __: Limits) -> bytes:
        raise Problem("Unreachable", "nobody answers", 503)

    with doors(answering=unreachable) as opened:
        assert post(opened, json.dumps(GOOD).encode()) == (503, "Unreachable: nobody answers")


def test_only_a_post_to_the_root_is_served(opened: Doors) -> None:
    connection = HTTPConnection("127.0.0.1", opened.port, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().status == 405
    connection.close()


def test_more_than_a_container_holds_is_answered_busy() -> None:
    with doors(WebSettings(waiting_bytes=50)) as opened:
        status, text = post(opened, json.dumps(GOOD).encode())
        assert status == 503
        assert text.startswith("ServerBusy")
        assert opened.service.budget.left == 50
