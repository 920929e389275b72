"""Clients of the deployed application: what they ask of it, and what it says has happened in it."""

import time
from collections.abc import Callable
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

Urls = Callable[[str], str]
"""Address of an endpoint by ``Class.method`` or the function's name."""


def websocket(address: str, token: dict[str, str] | None = None, **options: Any) -> ClientConnection:
    made: ClientConnection = connect(
        address.replace("http", "ws", 1), additional_headers=token, open_timeout=30, max_size=None, **options
    )
    return made


def history(http: httpx.Client, address: str) -> list[str]:
    return http.get(address + "/history").text.split("\n")


def until(seen: Callable[[], list[str]], line: str) -> list[str]:
    """What has happened, once the line is there."""
    end = time.monotonic() + 30
    while line not in (found := seen()):
        assert time.monotonic() < end, f"{line!r} is not in {found}"
        time.sleep(0.05)
    return found
