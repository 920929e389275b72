"""Generated messages: each parser gives what it promises, or refuses in its own words, and never anything else."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import cbor2
import msgpack
from hypothesis import example, given
from hypothesis import strategies as st
from roboflow_workflows.execution_engine.v1.dynamic_blocks.modal_executor import (
    _deserialize_msgpack_result,
    deserialize_for_modal_remote_execution,
)

from modal_app.contract.errors import ContractError
from modal_app.contract.response import build_response
from modal_app.contract.wire import PICTURES, ItemProblem, check_json, check_msgpack
from modal_app.gateway import frames
from modal_app.gateway.answers import Answer, read_answer
from modal_app.gateway.codes import CodeStore
from modal_app.gateway.http import _Body, _parse
from modal_app.gateway.problems import Problem
from modal_app.gateway.requests import Work, read_work
from modal_app.gateway.service import LIMITS, Budget
from modal_app.gateway.workspace import workspace_of
from modal_app.sandbox.wire.decode import decode_inputs
from modal_app.sandbox.wire.encode import encode_result
from modal_app.settings import WORKSPACE_ID, WebSettings

TAGS = ("datetime", "bytes", "ndarray", "object", "batch", "sv_detections", "video_metadata", "workflow_image", "mine")
KEYS = st.sampled_from(
    (
        "_type",
        "type",
        "value",
        "dtype",
        "shape",
        "indices",
        "image",
        "predictions",
        "_jpeg_bytes",
        "video_metadata",
        "a",
    )
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from((*TAGS, *PICTURES, "base64", "int64", "<U3", "O", "http://x/", "/etc/hostname"))
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12
)
FIELDS = st.dictionaries(
    st.sampled_from(("code_hash", "code_str", "imports", "run_function_name", "workflow_context", "request_id")),
    VALUES | st.text(max_size=40) | st.lists(st.text(max_size=8), max_size=3),
)


@given(st.binary(max_size=200) | VALUES.map(msgpack.packb))
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
def test_a_message(data: bytes) -> None:
    try:
        fields = frames.read(data)
    except Problem as problem:
        assert problem.server_error  # noqa: PT017 - or else it is a value
        return
    assert all(type(name) is str for name in fields)
    assert type(fields.get("inputs", b"")) is bytes


@given(st.binary(max_size=5 * 1024 * 1024).map(lambda data: data * 3))
@example(b"x" * (3 * 1024 * 1024 + 1))
def test_what_is_split_is_whole_again(data: bytes) -> None:
    first, *rest = frames.split(data)
    assert (b"".join(rest) if rest else first) == data
    assert all(len(frame) <= frames.FRAME_BYTES for frame in (first, *rest))
    assert not rest or frames.chunks(frames.read(first)) == len(rest)


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


@given(st.binary(max_size=300), st.integers(1, 100), st.booleans(), st.integers(0, 400), st.integers(0, 300))
def test_a_body(data: bytes, size: int, packed: bool, limit: int, cut: int) -> None:
    sent = gzip.compress(data)[: cut or None] if packed else data
    budget = Budget(10_000)
    body = _Body(budget, limit, "gzip" if packed else None)
    try:
        asyncio.run(body.read(_pieces(sent, size)))
        assert bytes(body.data) == data
        assert len(data) <= limit
        _parse(bytes(body.data))
    except Problem as problem:
        assert 400 <= problem.status < 600  # noqa: PT017 - or else it is a value
    finally:
        body.release()
    assert budget.left == 10_000


@given(FIELDS)
def test_fields(fields: dict[str, Any]) -> None:
    try:
        work = read_work("acme", fields, "{}", CodeStore(WebSettings()))
    except Problem as problem:
        assert problem.server_error  # noqa: PT017 - or else it is a value
        return
    assert type(work) is Work
    json.dumps(work.request(LIMITS))


@given(st.binary(max_size=60) | st.text(max_size=140).map(lambda text: b"workspace_id=" + quote(text).encode()))
def test_a_query(query: bytes) -> None:
    try:
        workspace = workspace_of(query, anonymous=True)
    except Problem as problem:
        assert problem.status == 400  # noqa: PT017 - or else it is a value
        return
    assert re.fullmatch(WORKSPACE_ID.pattern, workspace)


ENVELOPES = st.fixed_dictionaries(
    {}, optional={name: VALUES | st.binary(max_size=30) for name in (*build_response(), "server_error")}
)


@given(
    st.binary(max_size=100) | ENVELOPES.map(lambda changes: cbor2.dumps({**build_response(), **changes})), st.booleans()
)
def test_what_a_sandbox_says(data: bytes, packed: bool) -> None:
    try:
        answer = read_answer(data, LIMITS, packed=packed)
    except (Problem, ContractError):
        return
    assert type(answer) is Answer
    assert "server_error" not in answer.fields
    said = msgpack.unpackb(answer.as_msgpack("id")) if packed else json.loads(answer.as_json())
    assert said["success"] is answer.succeeded


@given(VALUES)
def test_what_passes_leads_the_client_nowhere_else(value: Any) -> None:
    """The released client's own decoding either fails on it or makes something of its bytes."""
    asked: list[str] = []
    ways: tuple[tuple[Callable[[Any], None], Any, Callable[[Any], Any]], ...] = (
        (check_json, json.dumps(value), deserialize_for_modal_remote_execution),
        (check_msgpack, msgpack.packb(value), lambda data: _deserialize_msgpack_result(msgpack.unpackb(data))),
    )
    for check, data, decode in ways:
        try:
            check(data)
        except ItemProblem:
            continue
        try:
            decode(data)
        except Exception as error:  # noqa: BLE001 - any of them is a failure of this one workflow
            asked.append(str(error))
    assert not any("http://x/" in text or "/etc/hostname" in text for text in asked if "image" in text.lower())


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), st.booleans())
def test_inputs(inputs: dict[str, Any], packed: bool) -> None:
    try:
        decoded = decode_inputs(msgpack.packb(inputs) if packed else json.dumps(inputs))
    except ContractError as error:
        assert str(error).startswith("the input")  # noqa: PT017 - or else it is a value
        return
    assert decoded.keys() == inputs.keys()


OBJECTS = st.recursive(
    LEAVES | st.binary(max_size=5) | st.complex_numbers() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(OBJECTS, st.booleans())
def test_results(value: Any, packed: bool) -> None:
    try:
        encoded = encode_result(value, replace(LIMITS, result_bytes=1000), packed=packed)
    except ContractError:
        return
    assert len(encoded) <= 1000
    if isinstance(encoded, bytes):
        check_msgpack(encoded)
    else:
        check_json(encoded)
