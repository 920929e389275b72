"""Every value of the wire's table through the released client, over HTTP and WebSocket, beside local execution."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chain.behaviours import wire
from tests.chain.behaviours.wire import TRANSPORTS, Value
from tests.chain.behaviours.wire_values import VALUES
from tests.chain.doors import doors_of
from tests.chain.server import Server
from tests.chain.test_differences import LOCAL
from tests.contract.conftest import LocalModal

Servers = dict[str, Server]


@pytest.fixture(scope="module")
def servers(plane: LocalModal) -> Iterator[Servers]:
    """One that runs blocks itself, and one for each transport, by the released server's own variables alone."""
    doors = doors_of(plane)
    released = {
        "WORKFLOWS_PLUGINS": "",
        "MODAL_TOKEN_ID": doors.token_id,
        "MODAL_TOKEN_SECRET": doors.token_secret,
        "MODAL_WEB_ENDPOINT_URL": doors.addresses["http"],
        "MODAL_WS_ENDPOINT_URL": doors.addresses["websocket"],
    }
    started = {"local": Server(LOCAL)} | {
        transport: Server({**released, "WEBEXEC_TRANSPORT": transport.lower()}) for transport in TRANSPORTS
    }
    yield started
    for server in started.values():
        server.close()


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.name)
def test_a_value_arrives_as_listed(value: Value, servers: Servers) -> None:
    def arrived(server: Server) -> tuple[str, str]:
        into = server.run(wire.workflow_in(), value=wire.value(value.expression))
        return wire.arrived_in(into), wire.arrived_out(server.run(wire.workflow_out(value.expression)))

    with ThreadPoolExecutor(len(servers)) as pool:
        found = dict(zip(servers, pool.map(arrived, servers.values()), strict=True))
    listed = {"local": (value.local, value.local)}
    for transport, into, out in zip(TRANSPORTS, wire.each(value.into), wire.each(value.out), strict=True):
        listed[transport] = (into or value.local, out or value.local)
    assert found == listed
