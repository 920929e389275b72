"""What the control plane answers for a container, and what it lets through of a container's own answer."""

from collections.abc import Sized

from google.protobuf.message import DecodeError
from modal_proto import api_pb2

from local_modal.errors import LocalModalError

Result = api_pb2.GenericResult
CONTAINER_STATUSES = frozenset(
    {Result.GENERIC_STATUS_SUCCESS, Result.GENERIC_STATUS_FAILURE, Result.GENERIC_STATUS_TERMINATED}
)
"""The statuses that a container may report; the others are the control plane's to say."""
MAX_TEXT = 64 << 10
"""Longest exception text or traceback passed on (characters)."""


MAX_CHUNKS = 100_000
"""Values of one generator: each is kept until its caller has it (count)."""


class ForgedResultError(LocalModalError):
    """A container answered in a way that its function's definition doesn't allow."""


def timed_out(input_id: str, seconds: float) -> api_pb2.GenericResult:
    """The caller gets modal.exception.FunctionTimeoutError."""
    return Result(
        status=Result.GENERIC_STATUS_TIMEOUT,
        exception=f"Task's current input {input_id} hit its timeout of {seconds:g}s",
    )


def internal_failure(what: str) -> api_pb2.GenericResult:
    """The caller gets modal.exception.InternalFailure."""
    return Result(status=Result.GENERIC_STATUS_INTERNAL_FAILURE, exception=what)


def countable(result: api_pb2.GenericResult) -> api_pb2.GenericResult:
    """The same for a caller that retries: it would send an input that failed internally again without end."""
    if result.status == Result.GENERIC_STATUS_INTERNAL_FAILURE:
        return Result(status=Result.GENERIC_STATUS_FAILURE, exception=result.exception)
    return result


def terminated(why: str = "Input was cancelled by user") -> api_pb2.GenericResult:
    """The caller gets modal.exception.RemoteError."""
    return Result(status=Result.GENERIC_STATUS_TERMINATED, exception=why)


def init_failure(what: str, traceback: str = "") -> api_pb2.GenericResult:
    """The container failed before its first input: the caller gets modal.exception.RemoteError."""
    return Result(status=Result.GENERIC_STATUS_INIT_FAILURE, exception=what[:MAX_TEXT], traceback=traceback[:MAX_TEXT])


def refused(what: str) -> api_pb2.GenericResult:
    """The container's answer is withheld: the caller gets modal.exception.RemoteError."""
    return Result(status=Result.GENERIC_STATUS_FAILURE, exception=f"result refused: {what}")


def checked(
    result: api_pb2.GenericResult, data: bytes, data_format: int, allowed_formats: list[int], max_bytes: int
) -> tuple[api_pb2.GenericResult, int]:
    """A container's result, whose data is `data`, as its caller may see it; and its data format.

    Pickles are code to whoever unpickles them. So a success passes only in a format of the function's definition, and a
    failure of a function that doesn't answer in pickles keeps its texts and loses its data, traceback and line cache.

    Raises:
        ForgedResultError: a status, a format or a size that the definition doesn't allow.
    """
    if result.status not in CONTAINER_STATUSES:
        raise ForgedResultError(f"the container reported status {result.status}, which is not its to report")
    if len(data) > max_bytes:
        raise ForgedResultError(f"the result has {len(data)} bytes, over the limit of {max_bytes} bytes")
    if result.status == Result.GENERIC_STATUS_SUCCESS:
        if data_format not in allowed_formats:
            allowed = ", ".join(map(_format_name, allowed_formats)) or "none"
            raise ForgedResultError(
                f"the container answered in the format {_format_name(data_format)}; its definition allows {allowed}"
            )
        return Result(status=result.status, data=data), data_format
    if result.status == Result.GENERIC_STATUS_TERMINATED:
        return terminated(), data_format
    passed = Result(status=result.status, exception=result.exception[:MAX_TEXT], traceback=result.traceback[:MAX_TEXT])
    if api_pb2.DATA_FORMAT_PICKLE in allowed_formats and data_format == api_pb2.DATA_FORMAT_PICKLE:
        passed.data = data
        passed.serialized_tb, passed.tb_line_cache = result.serialized_tb, result.tb_line_cache
        return passed, data_format
    return passed, allowed_formats[0] if allowed_formats else api_pb2.DATA_FORMAT_CBOR


def check_chunk(chunk: api_pb2.DataChunk, allowed_formats: list[int], count: int, most: int = MAX_CHUNKS) -> None:
    """A value that a generator yielded; `count`: how many came before it, `most`: how many there may be.

    Raises:
        ForgedResultError: a format or a form that its definition doesn't allow, or one too many.
    """
    allowed = [kind for kind in allowed_formats if kind != api_pb2.DATA_FORMAT_GENERATOR_DONE]
    if chunk.data_format not in allowed:
        names = ", ".join(map(_format_name, allowed)) or "none"
        raise ForgedResultError(
            f"the container yielded in the format {_format_name(chunk.data_format)}; its definition allows {names}"
        )
    if chunk.WhichOneof("data_oneof") == "data_blob_id":
        raise ForgedResultError("the container yielded a blob")
    if not 0 < chunk.index <= count + 1:
        raise ForgedResultError(f"the container yielded value {chunk.index} after {count}")
    if count >= most:
        raise ForgedResultError(f"the container yielded more than {most} values")


def check_end(result: api_pb2.GenericResult, data_format: int, chunks: Sized | None) -> None:
    """The end of a generator, and of nothing else: its caller waits until it has as many values as the end says.

    Raises:
        ForgedResultError: a number of values that isn't theirs, or another answer than a generator's.
    """
    is_end = data_format == api_pb2.DATA_FORMAT_GENERATOR_DONE
    if is_end != (chunks is not None):
        raise ForgedResultError(f"the container answered {'as' if is_end else 'unlike'} a generator")
    if chunks is None:
        return
    try:
        total = api_pb2.GeneratorDone.FromString(result.data).items_total
    except DecodeError:
        total = -1
    if total != len(chunks):
        raise ForgedResultError(f"a generator yielded {len(chunks)} values and says that it was {total}")


def _format_name(data_format: int) -> str:
    try:
        return api_pb2.DataFormat.Name(data_format).removeprefix("DATA_FORMAT_")  # type: ignore[arg-type]
    except ValueError:
        return str(data_format)
