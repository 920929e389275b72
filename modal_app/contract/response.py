"""What a container answers: a result or a failure, with what was printed. Data only, and checked as such.

The answer says where user code failed by line numbers and function names; the source lines shown to a user come from
the server's own copy of the code.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from modal_app.contract import cbor
from modal_app.contract.codec import Decoder, Kind
from modal_app.contract.errors import ContractError, ContractVersionError
from modal_app.installed import INFERENCE_VERSION
from modal_app.settings import CONTRACT_VERSION, Limits

Stage = Literal["load", "init", "run", "result", "request"]
"""Where a failure happened: loading the code, its init function, its run function, turning the result into data, or
before any of these, because the request doesn't fit this deployment."""

RESPONSE_FIELDS = ("contract", "inference", "result", "failure", "output", "printed", "traces", "seconds")
FAILURE_FIELDS = ("stage", "errors", "missing_function")
ERROR_FIELDS = ("type", "message", "frames", "cause")
MAX_CHAIN = 8
MAX_NAME_CHARS = 200
MAX_TRACES = 1000
_ENVELOPE_DEPTH = 8
_ENVELOPE_ITEMS = 10_000
_DEPTH_PER_LEVEL = 3
_STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Frame:
    """A place in the user's code: line, counted from 1 in the run function's code, and function name."""

    line: int
    function: str


@dataclass(frozen=True)
class RaisedError:
    """One exception of a chain; `frames` are those in the user's code, outermost first."""

    type: str
    message: str
    frames: tuple[Frame, ...] = ()
    cause: bool = False
    """Whether the next exception of the chain was raised `from` this one, rather than while handling it."""


@dataclass(frozen=True)
class Failure:
    """Why there is no result. `errors` is a chain of exceptions, the one that counts last, never empty."""

    stage: Stage
    errors: tuple[RaisedError, ...]
    missing_function: str | None = None


@dataclass(frozen=True)
class Output:
    """Text on stdout and stderr; empty if none."""

    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True)
class Response:
    """A container's answer, decoded.

    `output` is what the run function printed (what local execution gives to debug logs and errors), `printed` all that
    reached the streams of the process. `seconds` is how long the run function took, by the container's own account.
    """

    inference: str
    result: Any
    failure: Failure | None
    output: Output
    printed: Output
    traces: tuple[dict[str, Any], ...]
    seconds: float


def build_response(
    *,
    result: Any = None,
    failure: Failure | None = None,
    output: Output = Output(),
    printed: Output = Output(),
    traces: Sequence[dict[str, Any]] = (),
    seconds: float = 0.0,
) -> dict[str, Any]:
    """The data that `decode_response` reads; `result` is encoded already (`encode_value`)."""
    return {
        "contract": CONTRACT_VERSION,
        "inference": INFERENCE_VERSION,
        "result": result,
        "failure": None if failure is None else _failure_data(failure),
        "output": [output.stdout, output.stderr],
        "printed": [printed.stdout, printed.stderr],
        "traces": list(traces),
        "seconds": seconds,
    }


def decode_response(data: bytes, limits: Limits) -> Response:
    """The answer that `data`, CBOR that a container chose, holds, with its result as values of the engine.

    Raises:
        ContractError, ContractVersionError: as of `decode_envelope`.
    """
    from modal_app.contract.kinds import KINDS, decode_value  # noqa: PLC0415 - imports the engine

    return decode_envelope(data, limits, lambda result: decode_value(result, limits), KINDS)


def decode_envelope(
    data: bytes, limits: Limits, decode_result: Callable[[Any], Any], kinds: Iterable[Kind] = ()
) -> Response:
    """The answer that `data`, CBOR that a container chose, holds; what its result means is for `decode_result`.

    Args:
        data: the answer.
        limits: what may come back.
        decode_result: gets the data of a result that there is.
        kinds: what values of debug traces may be.

    Raises:
        ContractVersionError: the container speaks another contract version.
        ContractError: it isn't an answer, or exceeds a limit.
    """
    if len(data) > limits.answer_bytes:
        raise ContractError(f"the answer has {len(data):,} bytes")
    depth = limits.result_depth * _DEPTH_PER_LEVEL + _ENVELOPE_DEPTH
    envelope = cbor.decode(data, max_depth=depth, max_items=2 * limits.result_values + _ENVELOPE_ITEMS)
    decoder = Decoder(limits, kinds)
    if type(envelope) is dict and type(envelope.get("contract")) is int and envelope["contract"] != CONTRACT_VERSION:
        raise ContractVersionError(
            f"this server speaks contract version {CONTRACT_VERSION}, the deployed app {envelope['contract']}"
        )
    fields = decoder.fields(envelope, RESPONSE_FIELDS)
    failure = None if fields["failure"] is None else _decode_failure(fields["failure"], decoder, limits)
    seconds = decoder.expect(fields["seconds"], float)
    return Response(
        inference=decoder.expect(fields["inference"], str)[:MAX_NAME_CHARS],
        result=decode_result(fields["result"]) if failure is None else None,
        failure=failure,
        output=_decode_output(fields["output"], decoder, limits),
        printed=_decode_output(fields["printed"], decoder, limits),
        traces=_decode_traces(fields["traces"], decoder),
        seconds=seconds if math.isfinite(seconds) and seconds >= 0 else 0.0,
    )


def _failure_data(failure: Failure) -> dict[str, Any]:
    errors = [
        {
            "type": error.type,
            "message": error.message,
            "frames": [[frame.line, frame.function] for frame in error.frames],
            "cause": error.cause,
        }
        for error in failure.errors
    ]
    return {"stage": failure.stage, "errors": errors, "missing_function": failure.missing_function}


def _decode_failure(data: Any, decoder: Decoder, limits: Limits) -> Failure:
    fields = decoder.fields(data, FAILURE_FIELDS)
    stage = next((stage for stage in _STAGES if stage == fields["stage"]), None)
    errors = decoder.expect(fields["errors"], list)
    if stage is None or not 0 < len(errors) <= MAX_CHAIN:
        raise ContractError("the failure in the answer is not one that this side knows")
    missing = decoder.expect(fields["missing_function"], str, None)
    return Failure(
        stage=stage,
        errors=tuple(_decode_error(error, decoder, limits) for error in errors),
        missing_function=None if missing is None else missing[:MAX_NAME_CHARS],
    )


def _decode_error(data: Any, decoder: Decoder, limits: Limits) -> RaisedError:
    fields = decoder.fields(data, ERROR_FIELDS)
    frames = decoder.expect(fields["frames"], list)[-limits.traceback_frames :]
    return RaisedError(
        type=decoder.expect(fields["type"], str)[:MAX_NAME_CHARS],
        message=decoder.expect(fields["message"], str)[: limits.message_chars],
        frames=tuple(_decode_frame(frame, decoder) for frame in frames),
        cause=decoder.expect(fields["cause"], bool),
    )


def _decode_frame(data: Any, decoder: Decoder) -> Frame:
    if type(data) is not list or len(data) != 2:  # noqa: PLR2004 - line and function
        raise ContractError("a frame in the answer is not a line and a function")
    (line,) = decoder.integers(data[:1], low=1, high=2**31 - 1)
    return Frame(line, decoder.expect(data[1], str)[:MAX_NAME_CHARS])


def _decode_output(data: Any, decoder: Decoder, limits: Limits) -> Output:
    streams = decoder.expect(data, list)
    if len(streams) != 2:  # noqa: PLR2004 - stdout and stderr
        raise ContractError("the output in the answer is not stdout and stderr")
    kept = limits.output_chars + MAX_NAME_CHARS  # room for the note that output was cut
    stdout, stderr = (decoder.expect(stream, str)[:kept] for stream in streams)
    return Output(stdout, stderr)


def _decode_traces(data: Any, decoder: Decoder) -> tuple[dict[str, Any], ...]:
    traces = decoder.items(decoder.expect(data, list)[:MAX_TRACES])
    for trace in traces:
        decoder.expect(trace, dict)
    return tuple(traces)
