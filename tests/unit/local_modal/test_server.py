"""What the control plane serves, on its one port."""

import asyncio
import json
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import grpclib.client
import pytest
from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_grpc, api_pb2

from local_modal.errors import LocalModalError
from local_modal.rpc import access
from local_modal.rpc.objects import in_numbers
from local_modal.server import ControlPlane, listening_socket, served_methods
from local_modal.settings import Address, Settings
from tests.control_plane import running, token

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with running(tmp_path) as control_plane:
        yield control_plane


@pytest.fixture
async def channel(plane: ControlPlane) -> AsyncIterator[grpclib.client.Channel]:
    opened = grpclib.client.Channel("127.0.0.1", plane.plane.settings.port)
    yield opened
    opened.close()


async def test_health_is_served_over_http_without_a_token(plane: ControlPlane) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{plane.plane.settings.url}/health") as answer:
        assert answer.status == 200
        facts = json.loads(await answer.text())
    assert facts["status"] == "ok"
    assert not set(token(plane).values()) & set(map(str, facts.values()))


async def test_where_modal_shows_an_app_it_says_how_to_see_one(plane: ControlPlane) -> None:
    url = f"{plane.plane.settings.url}/apps/main/ap-1"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")
        assert "modal app logs" in await answer.text()


async def test_the_client_reaches_it_through_a_proxy_that_its_variables_name(plane: ControlPlane) -> None:
    """As it reaches an account from a network that has one; `modal` alone refuses to begin there."""
    asked: list[bytes] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).splitlines()[0])
        far = await asyncio.open_connection("127.0.0.1", plane.plane.settings.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(copy(reader, far[1]), copy(far[0], writer))

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    credentials = plane.plane.credentials
    variables = credentials.client_variables("http://control-plane.example", "main") | {"MODAL_DISABLE_API_PROXY": ""}
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "modal", "environment", "list", "--json"),
        env={**kept, **variables, "http_proxy": f"http://127.0.0.1:{port}"},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await client.communicate()
    proxy.close()
    assert [row["name"] for row in json.loads(said)] == ["main"]
    assert set(asked) == {b"CONNECT control-plane.example:80 HTTP/1.1"}


async def test_grpc_is_served_on_the_same_port(plane: ControlPlane, channel: grpclib.client.Channel) -> None:
    hello = await api_grpc.ModalClientStub(channel).ClientHello(Empty(), metadata=token(plane))
    assert hello.image_builder_version


async def test_every_rpc_needs_the_token(plane: ControlPlane, channel: grpclib.client.Channel) -> None:
    stub = api_grpc.ModalClientStub(channel)
    wrong = {**token(plane), "x-modal-token-secret": "wrong"}
    for metadata in ({}, wrong):
        with pytest.raises(GRPCError) as caught:
            await stub.SecretList(api_pb2.SecretListRequest(), metadata=metadata)
        assert caught.value.status is Status.UNAUTHENTICATED


@pytest.mark.parametrize("name", sorted(access.CONTAINER_ONLY))
async def test_an_account_can_not_pose_as_a_container(
    plane: ControlPlane, channel: grpclib.client.Channel, name: str
) -> None:
    method = getattr(api_grpc.ModalClientStub(channel), name)
    with pytest.raises(GRPCError) as caught:
        await method(method.request_type(), metadata=token(plane))
    assert caught.value.status is Status.PERMISSION_DENIED


async def test_a_message_over_the_limit_is_refused_before_it_is_read(
    plane: ControlPlane, channel: grpclib.client.Channel
) -> None:
    async def announce(size: int) -> None:
        method = api_grpc.ModalClientStub(channel).ClientHello
        async with method.open(metadata=token(plane)) as stream:
            await stream.send_request()
            await stream._stream.send_data(struct.pack(">?I", False, size) + b"x" * 100)
            await asyncio.wait_for(stream.recv_message(), 5)

    with pytest.raises(GRPCError) as caught:
        await announce((1 << 32) - 1)
    assert caught.value.status is Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("noise", [b"\x00\x01\x02garbage", b"PRI but not quite HTTP/2\r\n\r\n", b"GET", b""])
async def test_noise_on_the_port_ends_that_connection_only(
    plane: ControlPlane, channel: grpclib.client.Channel, noise: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.plane.settings.port)
    writer.write(noise)
    writer.write_eof()
    await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await api_grpc.ModalClientStub(channel).ClientHello(Empty(), metadata=token(plane))


async def test_a_blob_is_reached_with_its_own_key_only(plane: ControlPlane) -> None:
    blob_id, key = plane.plane.blobs.reserve(3)
    base = f"{plane.plane.settings.url}/blobs/{blob_id}"
    async with aiohttp.ClientSession() as session:
        for wrong in ("wrong", "%2e%2e"):
            async with session.put(f"{base}/{wrong}", data=b"abc") as answer:
                assert answer.status == 404
        async with session.put(f"{base}/{key}", data=b"abcd") as answer:
            assert (answer.status, "3 bytes" in await answer.text()) == (400, True)
        async with session.put(f"{base}/{key}", data=b"abc") as answer:
            assert answer.status == 200
        async with session.get(f"{base}/{key}") as answer:
            assert await answer.read() == b"abc"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("http://127.0.0.1:5/blobs/a/b", "http://127.0.0.1:5/blobs/a/b"),
        ("http://localhost:5/blobs/a/b", "http://localhost:5/blobs/a/b"),
        ("http://nowhere.invalid:5/blobs/a/b", "http://nowhere.invalid:5/blobs/a/b"),
        ("https://localhost.localdomain/blobs/a/b", "https://localhost.localdomain/blobs/a/b"),
    ],
)
async def test_an_address_that_the_client_uploads_to_stays(given: str, taken: str) -> None:
    assert await in_numbers(given) == taken


async def test_a_name_that_the_client_does_not_upload_to_becomes_an_address() -> None:
    name = socket.gethostname()
    assert await in_numbers(f"http://{name}:5/blobs/a/b") == f"http://{socket.gethostbyname(name)}:5/blobs/a/b"


@pytest.mark.parametrize("advertised", ["", "https://modal.example"])
async def test_a_blobs_address_begins_with_the_one_that_the_caller_used_or_the_advertised_one(
    tmp_path: Path, advertised: str
) -> None:
    """A published port: the client's port is not the one that the control plane listens on."""
    async with running(tmp_path, advertised_url=Address(advertised)) as plane:
        channel = grpclib.client.Channel("127.0.0.1", plane.plane.settings.port)
        channel._authority = "published.example:444"
        try:
            request = api_pb2.BlobCreateRequest(content_length=3)
            made = await api_grpc.ModalClientStub(channel).BlobCreate(request, metadata=token(plane))
        finally:
            channel.close()
    expected = advertised or "http://published.example:444"
    assert made.upload_urls.items[0].startswith(f"{expected}/blobs/{made.blob_id}/")


def test_a_taken_port_is_said_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(LocalModalError, match="--port"):
        listening_socket(Settings(port=taken.getsockname()[1]))


def test_the_document_lists_exactly_the_rpcs_that_are_served(plane: ControlPlane) -> None:
    text = (ROOT / "docs/local-modal.md").read_text()
    listed = set(text.split("<!-- served -->")[1].replace(",", " ").replace("`", " ").split())
    assert listed == set(served_methods(plane.services))
