"""ASGI as it travels: a client's request as a scope, and a container's events, of which nothing is taken on trust."""

import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from google.protobuf.message import DecodeError
from modal_proto import api_pb2
from multidict import CIMultiDict

from local_modal.errors import LocalModalError
from local_modal.rpc import wire
from local_modal.web import proxy_auth

MAX_HEADERS = 200
"""Of a container's response (count); an event has twice as many fields, and few more."""
MAX_HEADER_BYTES = 64 << 10
"""All headers of a container's response together (bytes)."""
MAX_REASON_BYTES = 123
"""What a close frame has room for (RFC 6455, 5.5)."""
MAX_FIELDS = 2 * MAX_HEADERS + 10
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding "
    b"upgrade".split()
)
"""Headers that mean one connection and not the other (RFC 9110, 7.6.1)."""
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
FIRST_FINAL, LAST_STATUS = 200, 599
CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
OWN_CLOSE_CODES = range(3000, 5000)
"""Those of applications (RFC 6455, 7.4.2)."""


class BrokenAnswerError(LocalModalError):
    """A container sent what is no answer to a request."""


@dataclass(frozen=True)
class Place:
    """Where in an endpoint a request goes: `root` is the endpoint's own path; `raw_path` begins with it."""

    root: str
    raw_path: str
    query: str


def scope_of(request: web.BaseRequest, place: Place, kind: str, scheme: str, server: tuple[str, int]) -> dict[str, Any]:
    """The ASGI scope of a request; `kind` is ``http`` or ``websocket``.

    The headers lack what means this connection only, the proxy token, and what the client says of other clients.
    """
    peer = request.transport.get_extra_info("peername") if request.transport else None
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "scheme": scheme,
        "path": unquote(place.raw_path),
        "raw_path": place.raw_path.encode("utf-8", "surrogateescape"),
        "query_string": place.query.encode("utf-8", "surrogateescape"),
        "root_path": place.root,
        "headers": request_headers(request.raw_headers),
        "client": tuple(peer[:2]) if peer else None,
        "server": server,
    }
    if kind == "http":
        scope["method"] = request.method
    else:
        offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
        scope["subprotocols"] = [name.strip() for name in offered.split(",") if name.strip()]
    return scope


def request_headers(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A client's headers as an application may see them, their names in lower case."""
    headers = [(name.lower(), value) for name, value in raw]
    named = {name.strip().lower() for key, value in headers if key == b"connection" for name in value.split(b",")}
    dropped = HOP_BY_HOP | named | proxy_auth.OWN_HEADERS | {b"x-forwarded-for"}
    return [
        (name, value)
        for name, value in headers
        if name not in dropped and not (name == b"authorization" and proxy_auth.is_bearer(value.decode("latin-1")))
    ]


def input_of(scope: Mapping[str, Any], method: str) -> api_pb2.FunctionInput:
    """The input that a container serves a request by; the request's body follows as events."""
    return api_pb2.FunctionInput(
        args=pickle.dumps(((dict(scope),), {}), protocol=4),
        data_format=api_pb2.DATA_FORMAT_PICKLE,
        method_name=method,
    )


def event(data: bytes, *kinds: str) -> api_pb2.Asgi:
    """A container's event, which must be of one of the kinds.

    Raises:
        BrokenAnswerError: it isn't, or is no event.
    """
    try:
        found = api_pb2.Asgi.FromString(data) if wire.few_fields(data, api_pb2.Asgi, MAX_FIELDS) else None
    except DecodeError:
        found = None
    kind = found.WhichOneof("type") if found is not None else None
    if found is None or kind not in kinds:
        raise BrokenAnswerError(f"sent {kind or 'no event'} where {' or '.join(kinds)} was due")
    return found


def response_head(start: api_pb2.Asgi.HttpResponseStart) -> tuple[int, CIMultiDict[str]]:
    """Status and headers of a container's response.

    Raises:
        BrokenAnswerError: a status that isn't a final one, or what is no header.
    """
    if not FIRST_FINAL <= start.status <= LAST_STATUS:
        raise BrokenAnswerError(f"answered with the status {start.status}")
    return start.status, response_headers(start.headers)


def response_headers(flat: Iterable[bytes]) -> CIMultiDict[str]:
    """Headers as a container sends them, names and values in turn, without those of its own connection.

    Raises:
        BrokenAnswerError: too many, or what is no header: nothing in them can end a line.
    """
    items = list(flat)
    if len(items) % 2 or len(items) > 2 * MAX_HEADERS or sum(map(len, items)) > MAX_HEADER_BYTES:
        raise BrokenAnswerError(f"sent more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them")
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in zip(items[::2], items[1::2], strict=True):
        if not NAME.fullmatch(name) or not VALUE.fullmatch(value):
            raise BrokenAnswerError("sent a header that is none")
        if name.lower() not in HOP_BY_HOP:
            headers.add(name.decode("ascii"), _text(value))
    lengths = headers.getall("Content-Length", [])
    if len(lengths) > 1 or not all(length.isascii() and length.isdecimal() for length in lengths):
        raise BrokenAnswerError("sent a content-length that is none")
    return headers


def close_code(code: int) -> int:
    """The code of a container's close event, where it is one that may be sent; else that of a failure."""
    return code if code in CLOSE_CODES or code in OWN_CLOSE_CODES else 1011


def close_reason(reason: str) -> bytes:
    """A reason as a close frame can carry it."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore").encode()


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
