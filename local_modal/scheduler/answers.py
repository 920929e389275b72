"""What containers answer, checked against their definitions: the only way from a container to a caller."""

import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterable

from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.runtime.payload import PayloadError
from local_modal.scheduler import results
from local_modal.scheduler.calls import Input
from local_modal.scheduler.results import ForgedResultError
from local_modal.scheduler.task import Task
from local_modal.store.blobs import Blobs

log = logging.getLogger(__name__)
BLOB_BYTES = 1 << 20
"""Results above this are blobs to their callers (Modal: 2 MiB)."""


class Answers:
    """Takes outputs, yielded values and events; hands out the events of a web endpoint's client."""

    def __init__(self, finish: Callable[..., None], blobs: Blobs, max_bytes: int) -> None:
        """`finish`: as the scheduler's; `max_bytes`: of one result."""
        self._finish = finish
        self._blobs = blobs
        self._max_bytes = max_bytes

    def put_outputs(self, task: Task, items: Iterable[api_pb2.FunctionPutOutputsItem]) -> None:
        """Take a container's answers.

        Raises:
            LocalModalError: for an input that isn't the container's.
        """
        for item in items:
            entry = task.running.get(item.input_id)
            if entry is None:
                raise ForgedResultError(f"{item.input_id[:64]!r} is no input of this container")
            formats = task.definition.output_formats(entry.payload.method_name)
            try:
                data = self._data(task, item.result)
                result, data_format = results.checked(item.result, data, item.data_format, formats, self._max_bytes)
                if result.status == results.Result.GENERIC_STATUS_SUCCESS:
                    results.check_end(result, data_format, entry.call.yielded)
            except ForgedResultError as forged:
                result, data_format = self._refused(task, entry, forged), api_pb2.DATA_FORMAT_CBOR
            self._finish(entry, self._for_caller(entry, result), data_format, task, item.input_started_at)

    def _data(self, task: Task, result: api_pb2.GenericResult) -> bytes:
        """A result's data, out of its message or out of the memory that the container shares with us.

        Raises:
            ForgedResultError: it isn't there, or it is more than a container may send.
        """
        if result.WhichOneof("data_oneof") != "data_blob_id":
            return result.data
        if task.payload is None:
            raise ForgedResultError("the container answered with a blob, which it can't have uploaded")
        try:
            return task.payload.take(result.data_blob_id, self._max_bytes)
        except PayloadError as error:
            raise ForgedResultError(f"the answer's blob: {error}") from error

    def _for_caller(self, entry: Input, result: api_pb2.GenericResult) -> api_pb2.GenericResult:
        """A large result as a blob, which its caller fetches over plain HTTP; inline where it is kept in the database,
        where there is no room, and where nobody will fetch it, since the input has its answer already."""
        inline = entry.done or entry.call.spawned or entry.call.by_container
        if len(result.data) > BLOB_BYTES and not inline:
            with contextlib.suppress(LocalModalError):
                result.data_blob_id = self._blobs.hold(result.data)
        return result

    async def put_data(self, task: Task, request: api_pb2.FunctionCallPutDataRequest) -> None:
        """Take what a generator yielded, or a web endpoint's events: then it waits until the client has taken them.

        Raises:
            LocalModalError: for a call that isn't the container's, and for what its definition doesn't allow: the call
                has that as its answer.
        """
        entry = self._streaming(task, request.function_call_id)
        yielded, exchange = entry.call.yielded, entry.call.exchange
        assert yielded is not None  # noqa: S101 - what _streaming looks for
        formats = task.definition.output_formats(entry.payload.method_name)
        try:
            for chunk in request.data_chunks:
                results.check_chunk(chunk, formats, len(yielded), sys.maxsize if exchange else results.MAX_CHUNKS)
                if not entry.done or exchange:
                    entry.call.add_chunk(chunk)
        except ForgedResultError as forged:
            self._finish(entry, self._refused(task, entry, forged), api_pb2.DATA_FORMAT_CBOR, task)
            raise
        if exchange is not None:
            await exchange.drained()
            task.received_bytes = max(0, task.received_bytes - request.ByteSize())

    def follow_data(self, task: Task, request: api_pb2.FunctionCallGetDataRequest) -> AsyncIterator[api_pb2.DataChunk]:
        """The events of one of the container's own calls of a web endpoint.

        Raises:
            LocalModalError: for any other call.
        """
        exchange = self._streaming(task, request.function_call_id).call.exchange
        if exchange is None:
            raise ForgedResultError("this call is none of a web endpoint")
        return exchange.follow(request.last_index)

    def _streaming(self, task: Task, call_id: str) -> Input:
        entry = next((entry for entry in task.running.values() if entry.call.call_id == call_id), None)
        if entry is None or entry.call.yielded is None:
            raise ForgedResultError(f"{call_id[:64]!r} is no call of a generator of this container")
        return entry

    def _refused(self, task: Task, entry: Input, forged: ForgedResultError) -> api_pb2.GenericResult:
        log.warning("container %s: %s", task.task_id, forged)
        if entry.call.exchange is not None:
            entry.call.exchange.fault = str(forged)
            task.kill()
        return results.refused(str(forged))

    def task_result(self, task: Task, result: api_pb2.GenericResult) -> None:
        """A container says why it can't start: text only, since pickles of it would be run by callers.

        Once it has its input it has started, and user code may be what says so: that is passed over.
        """
        if task.served:
            return
        task.failure = results.init_failure(result.exception or "the container failed to start", result.traceback)
