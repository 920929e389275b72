"""Web endpoints when something goes wrong: what ends a request, and that it does so in bounded time."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import modal
import pytest
from modal._utils.async_utils import synchronizer
from modal_proto import api_pb2
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.contract.conftest import LocalModal
from tests.contract.web.client import Urls, history, until
from tests.contract.web.conftest import APP, SOURCE

KIB, MIB = 1 << 10, 1 << 20
Addresses = dict[str, str]


@pytest.fixture(scope="module")
def addresses(url: Urls) -> Addresses:
    return {name: url(name) for name in ("Doors.execute_block", "Doors.wsapp", "Brief.door", "Session.door")}


@pytest.fixture
def door(addresses: Addresses) -> str:
    return addresses["Doors.execute_block"]


@pytest.fixture
def seen(http: httpx.Client, door: str) -> Callable[[], list[str]]:
    """What has happened in the one container of the doors."""
    return lambda: history(http, door)


def settled(count: Callable[[], int]) -> int:
    """A number that no longer grows."""
    last = -1
    while (now := count()) != last:
        last = now
        time.sleep(0.5)
    return now


def raw(url: str, token: dict[str, str], head: str, body: bytes = b"") -> socket.socket:
    """A connection on which a request was begun by hand."""
    parts = httpx.URL(url)
    connection = socket.create_connection((parts.host, parts.port or 80), timeout=60)
    method, _, rest = head.partition("\n")
    lines = [f"{method} HTTP/1.1", "Host: x", *[f"{k}: {v}" for k, v in token.items()], *rest.split("\n")]
    connection.sendall("\r\n".join([line for line in lines if line] + ["", ""]).encode() + body)
    return connection


def read_until(connection: socket.socket, text: bytes) -> None:
    """Reads an answer as far as a text in it."""
    found = b""
    while text not in found:
        more = connection.recv(4096)
        assert more, f"{text!r} is not in {found!r}"
        found += more


# --- what applications do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("raise", 500),
        ("silent", 502),
        ("body-first", 502),
        ("status", 502),
        ("switch", 502),
        ("inject", 502),
        ("inject-name", 502),
        ("many", 502),
        ("lengths", 502),
        ("wrong-kind", 502),
    ],
)
def test_what_is_no_answer_becomes_a_line_of_text(http: httpx.Client, door: str, how: str, status: int) -> None:
    response = http.get(door + "/broken?" + how)
    assert response.status_code == status
    assert response.text.count("\n") == 1
    assert "secret" not in response.text
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("how", ["raise-late", "short", "long"])
def test_an_answer_that_goes_wrong_after_its_beginning_is_cut_short(http: httpx.Client, door: str, how: str) -> None:
    with pytest.raises(httpx.TransportError):
        http.get(door + "/broken?" + how)


def test_headers_of_the_containers_own_connection_stay_there(http: httpx.Client, door: str) -> None:
    response = http.get(door + "/broken?hop")
    assert (response.status_code, response.text) == (200, "ok")
    assert not {"upgrade"} & set(response.headers)


def test_a_function_that_hits_its_timeout_is_504(addresses: Addresses) -> None:
    began = time.monotonic()
    response = httpx.get(addresses["Brief.door"] + "/linger?polite", timeout=60)
    assert (response.status_code, response.text) == (504, "the function hit its timeout\n")
    assert time.monotonic() - began < 30


def test_a_connection_that_hits_the_functions_timeout_is_closed(addresses: Addresses) -> None:
    with (
        connect(addresses["Brief.door"].replace("http", "ws", 1), open_timeout=30) as connection,
        pytest.raises(ConnectionClosed, match="1011"),
    ):
        connection.recv(30)


# --- what hostile containers say ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["pickle", "gap", "blob", "noise", "bomb", "output"])
def test_a_forged_answer_reaches_no_client(addresses: Addresses, how: str) -> None:
    response = httpx.get(f"{addresses['Session.door']}/forge?workspace_id=a&{how}", timeout=60)
    assert (response.status_code, response.text) == (502, "the endpoint's answer was none\n")


@pytest.mark.parametrize("how", ["call", "listen", "listen-ahead"])
def test_a_container_reaches_its_own_call_only(addresses: Addresses, how: str) -> None:
    response = httpx.get(f"{addresses['Session.door']}/forge?workspace_id=a&{how}", timeout=60)
    assert (response.status_code, "Error: " in response.text) == (200, True)


def test_no_account_reads_what_clients_send(addresses: Addresses) -> None:
    assert addresses

    async def listen() -> None:
        client: Any = await modal.client._Client.from_env()
        request = api_pb2.FunctionCallGetDataRequest(function_call_id="fc-" + "x" * 22)
        async for _ in client._stub.FunctionCallGetDataIn.unary_stream(request):
            pass

    future = asyncio.run_coroutine_threadsafe(listen(), synchronizer._get_loop(start=True))
    with pytest.raises(modal.exception.PermissionDeniedError, match="is for containers"):
        future.result(30)


# --- what clients do --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "told"),
    [("polite", "polite saw the disconnect"), ("deaf", "deaf was cancelled"), ("stubborn", "stubborn was cancelled")],
)
def test_nobody_works_on_for_a_client_that_has_left(
    http: httpx.Client, door: str, token: dict[str, str], seen: Callable[[], list[str]], mode: str, told: str
) -> None:
    with closing(raw(door + "", token, f"GET {httpx.URL(door).path}/linger?{mode}")):
        until(seen, f"{mode} waits")
    if mode == "stubborn":
        http.get(door + "/history")  # others are served on
        deadline = time.monotonic() + 30
        while "stubborn waits" in seen():
            assert time.monotonic() < deadline, "a container with a stubborn request is never left"
            time.sleep(0.1)
    else:
        until(seen, told)


def test_clients_that_leave_leave_nothing_behind(addresses: Addresses, environment: str) -> None:
    assert addresses
    function = modal.Function.from_name(APP, "open_door", environment_name=environment)
    url = str(function.get_web_url())
    path = httpx.URL(url).path
    connections = [raw(url, {}, f"GET {path}/linger?{mode}") for mode in ("deaf", "polite") * 4]
    sockets = [connect(url.replace("http", "ws", 1), open_timeout=30) for _ in range(2)]
    while function.get_current_stats().num_running_inputs < 10:
        time.sleep(0.05)
    for connection in connections:
        connection.close()
    for door in sockets:
        door.socket.close()
    deadline = time.monotonic() + 30
    while (stats := function.get_current_stats()).num_running_inputs or stats.backlog:
        assert time.monotonic() < deadline, stats
        time.sleep(0.1)
    assert httpx.get(url, timeout=60).status_code == 200


def test_a_slow_client_holds_the_application_back(
    door: str, token: dict[str, str], seen: Callable[[], list[str]]
) -> None:
    with closing(raw(door, token, f"GET {httpx.URL(door).path}/flood?4000x16")) as connection:
        until(seen, "sent 1")
        held = settled(lambda: sum(line.startswith("sent ") for line in seen()))
        assert held < 3_000  # 1,024 wait inside Modal's container, and 16 MiB are on their way
        size = 0
        while size < 4_000 * 16 * KIB:
            size += len(connection.recv(MIB))
        until(seen, "sent 4000")


def test_a_slow_client_of_a_websocket_holds_the_application_back(
    addresses: Addresses, token: dict[str, str], http: httpx.Client
) -> None:
    def sent() -> int:
        lines = history(http, addresses["Doors.wsapp"])
        return sum(line.startswith("sent ") for line in lines)

    before = sent()
    with connect(
        addresses["Doors.wsapp"].replace("http", "ws", 1), additional_headers=token, max_size=None, max_queue=1
    ) as connection:
        connection.send("flood")
        while sent() == before:
            time.sleep(0.05)
        assert settled(sent) - before < 3_000
        for _ in range(4_000):
            assert len(connection.recv(30)) == 16 * KIB


def test_a_slow_application_holds_the_client_back(door: str, token: dict[str, str]) -> None:
    size = 32 * MIB
    head = f"POST {httpx.URL(door).path}/ignore-body\nContent-Length: {size}"
    with closing(raw(door, token, head)) as connection:
        connection.setblocking(False)
        sent = 0
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            try:
                sent += connection.send(b"x" * min(MIB, size - sent))
            except BlockingIOError:
                time.sleep(0.01)
        assert sent < 24 * MIB
        connection.setblocking(True)
        connection.settimeout(60)
        connection.sendall(b"x" * (size - sent))
        read_until(connection, str(size).encode())


def test_a_body_that_does_not_come_is_waited_for(door: str, token: dict[str, str]) -> None:
    head = f"POST {httpx.URL(door).path}/\nContent-Length: 4"
    with closing(raw(door, token, head)) as connection:
        time.sleep(6)  # Modal's container gives up after 5 s without an event
        connection.sendall(b"late")
        read_until(connection, b'"body": "late"')


def test_a_large_answer_to_a_container_that_is_asked_for_it_twice_counts_each_alone(
    http: httpx.Client, door: str
) -> None:
    for _ in range(2):
        assert len(http.get(door + "/flood?640x64").content) == 40 * MIB


# --- limits -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("local")
def test_a_body_over_the_limit_is_refused(http: httpx.Client, door: str) -> None:
    announced = http.post(door, content=b"x" * (40 * MIB + 1))
    assert (announced.status_code, announced.text) == (413, "the body is over 40 MiB\n")

    def parts() -> Iterator[bytes]:
        for _ in range(41):
            yield b"x" * MIB

    try:
        status = http.post(door, content=parts()).status_code
    except httpx.WriteError:
        status = 413
    assert status == 413


@pytest.mark.usefixtures("local")
def test_an_answer_over_the_limit_is_cut_short(http: httpx.Client, door: str) -> None:
    with pytest.raises(httpx.TransportError):
        http.get(door + "/flood?81x1024")


@pytest.mark.usefixtures("local")
def test_headers_over_the_limit_are_refused(http: httpx.Client, door: str) -> None:
    assert http.get(door, headers={"x-long": "x" * 40_000}).status_code == 400
    assert http.get(door + "?" + "x" * 40_000).status_code in {400, 414}


@pytest.mark.parametrize(
    "head",
    [
        "GET {path}\nTransfer-Encoding: chunked\nContent-Length: 4",
        "GET {path}\nContent-Length: 4\nContent-Length: 5",
        "GET {path}\nUpgrade: websocket\nConnection: upgrade",
        "GET {path}\nBad Header: x",
        "GET {path} extra",
    ],
)
def test_a_request_that_is_none_is_refused(door: str, token: dict[str, str], head: str) -> None:
    with closing(raw(door, token, head.format(path=httpx.URL(door).path), b"0\r\n\r\n")) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 400") or connection.recv(1) == b""


# --- the control plane ------------------------------------------------------------------------------------------


def test_stopping_ends_requests_and_connections_in_flight(
    own: LocalModal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own.start()
    for name, value in own.client_env().items():
        monkeypatch.setenv(name, value)
    deploy_to(tmp_path)
    url = f"{own.status()['url']}/web/local--open-door"

    async def in_flight() -> list[Any]:
        async with httpx.AsyncClient(timeout=60) as client:
            waiting = asyncio.create_task(client.get(url + "/linger?deaf"))
            while "deaf waits" not in (await client.get(url + "/history")).text:
                await asyncio.sleep(0.1)
            await asyncio.to_thread(own.run, "stop")
            return list(await asyncio.gather(waiting, return_exceptions=True))

    (answer,) = asyncio.run(in_flight())
    assert isinstance(answer, httpx.TransportError) or answer.status_code == 503
    assert own.status().get("running") is not True


def deploy_to(folder: Path) -> None:
    source = folder / "deployed_app.py"
    source.write_text(SOURCE)
    subprocess.run([sys.executable, "-m", "modal", "deploy", str(source)], check=True, capture_output=True, timeout=100)
