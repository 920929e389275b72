"""Modal's client for the resources: the public objects, and one way to the few RPCs that no public object offers.

The client is the process's own, made from the environment at its first use (modal.Client.from_env). Its blocking calls
may come from any thread: they run on the client's own event loop.
"""

import socket
import threading
from typing import Any, TypeVar
from urllib.parse import urlsplit

import modal
from google.protobuf.message import Message
from modal._utils.async_utils import synchronizer
from modal._utils.proxy_support import get_proxy_url
from modal.client import _Client
from modal.config import config
from modal.environments import list_environments
from modal.exception import ConnectionError
from modal_proto import api_pb2

Answer = TypeVar("Answer", bound=Message)
CONNECT_SECONDS = 5.0


_answered = threading.Event()


def check_reachable() -> None:
    """Before the first call: modal's ConnectionError where nobody listens, where the client would try for a minute."""
    if _answered.is_set():
        return
    server = urlsplit(config["server_url"])
    if get_proxy_url(server.hostname, use_ssl=server.scheme == "https"):
        return  # it is on the way, and the client says what it finds there
    port = server.port or (80 if server.scheme == "http" else 443)
    try:
        socket.create_connection((server.hostname or "", port), CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        raise ConnectionError("nobody listens there") from None
    except OSError:
        return  # the client knows more ways, and says what it found
    _answered.set()


async def _call(rpc: str, request: Message) -> Message:
    client = await _Client.from_env()
    answer: Message = await getattr(client._stub, rpc)(request)
    return answer


_call_blocking = synchronizer.create_blocking(_call, name="call")


def call(rpc: str, request: Message, _answer: type[Answer]) -> Answer:
    """One RPC of Modal's, for what the public objects don't offer; raises modal's exceptions."""
    answer: Answer = _call_blocking(rpc, request)
    return answer


def workspace() -> Any:
    """The workspace that the credentials belong to."""
    return modal.Workspace.from_context()


def environments() -> dict[str, api_pb2.EnvironmentListItem]:
    """The environments that the credentials may see, by name."""
    return {item.name: item for item in list_environments()}
