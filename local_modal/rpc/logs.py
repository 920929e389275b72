"""What containers printed: followed as it comes, counted, fetched by time."""

import time
from collections.abc import AsyncIterator
from itertools import groupby

from modal_proto import api_pb2

from local_modal.rpc.service import Service, not_found
from local_modal.store.logs import LogFilter, LogLine

DEFAULT_LIMIT = 1000


class LogService(Service):
    """Logs of an app, narrowed to a function, a call or a container."""

    async def AppGetLogs(self, request: api_pb2.AppGetLogsRequest) -> AsyncIterator[api_pb2.TaskLogsBatch]:
        """Follow from an entry on, or from now; ends with the request's timeout, or with the app or the container."""
        app_id = request.app_id or self._app_of(request.task_id)
        self.app(app_id)
        wanted = LogFilter(
            app_id=app_id,
            function_id=request.function_id,
            task_id=request.task_id,
            call_id=request.function_call_id,
            input_id=request.input_id,
            source=request.file_descriptor,
            text=request.search_text,
        )
        last = int(request.last_entry_id) if request.last_entry_id else self._start(app_id, request.task_id)
        end = time.monotonic() + (request.timeout or 60.0)
        while True:
            ended = self._ended(app_id, request.task_id)
            if ended:
                self.plane.log_writer.flush()
            lines = self.plane.logs.after(wanted, last)
            for line in lines:
                last = line.entry
                yield self._batch([line])
            if ended and not lines:
                yield api_pb2.TaskLogsBatch(app_done=True, entry_id=str(last))
                return
            left = end - time.monotonic()
            if left <= 0:
                return
            if not lines:
                await self.plane.log_writer.wait(min(left, 1.0))

    async def AppFetchLogs(self, request: api_pb2.AppFetchLogsRequest) -> api_pb2.AppFetchLogsResponse:
        self.app(request.app_id)
        self.plane.log_writer.flush()
        until = request.until.ToNanoseconds() / 1e9 if request.HasField("until") else time.time()
        lines = self.plane.logs.between(
            self._filter(request), request.since.ToNanoseconds() / 1e9, until, request.limit or DEFAULT_LIMIT
        )
        groups = groupby(lines, key=lambda line: (line.task_id, line.input_id))
        return api_pb2.AppFetchLogsResponse(batches=[self._batch(list(group)) for _, group in groups])

    async def AppCountLogs(self, request: api_pb2.AppCountLogsRequest) -> api_pb2.AppCountLogsResponse:
        self.app(request.app_id)
        self.plane.log_writer.flush()
        since, until = request.since.ToNanoseconds() / 1e9, request.until.ToNanoseconds() / 1e9
        width = max(1, request.bucket_secs)
        buckets: dict[int, api_pb2.AppCountLogsResponse.LogBucket] = {}
        for line in self.plane.logs.between(self._filter(request), since, until, self.plane.settings.log_rows):
            start = int(line.timestamp // width * width)
            bucket = buckets.setdefault(start, api_pb2.AppCountLogsResponse.LogBucket())
            bucket.bucket_start_at.FromSeconds(start)
            match line.source:
                case api_pb2.FILE_DESCRIPTOR_STDERR:
                    bucket.stderr_logs += 1
                case api_pb2.FILE_DESCRIPTOR_INFO:
                    bucket.system_logs += 1
                case _:
                    bucket.stdout_logs += 1
        return api_pb2.AppCountLogsResponse(
            app_id=request.app_id, buckets=[buckets[start] for start in sorted(buckets)]
        )

    def _filter(self, request: api_pb2.AppFetchLogsRequest | api_pb2.AppCountLogsRequest) -> LogFilter:
        return LogFilter(
            app_id=request.app_id,
            function_id=request.function_id,
            task_id=request.task_id,
            call_id=request.function_call_id,
            source=request.source,
            text=request.search_text,
        )

    def _app_of(self, task_id: str) -> str:
        known = self.plane.scheduler.known_task(task_id) or self.plane.logs.container(task_id)
        return known.app_id if known else not_found(f"Container '{task_id}' not found.")

    def _ended(self, app_id: str, task_id: str) -> bool:
        """Whether nothing more can come."""
        if self.app(app_id).state == api_pb2.APP_STATE_STOPPED:
            return True
        known = self.plane.scheduler.known_task(task_id) if task_id else None
        return bool(task_id) and (known is None or known.finished_at > 0)

    def _start(self, app_id: str, task_id: str) -> int:
        """An ephemeral app's log, and a container's, is followed from its start, a deployed app's from now."""
        deployed = self.app(app_id).state == api_pb2.APP_STATE_DEPLOYED
        return self.plane.logs.last_entry() if deployed and not task_id else 0

    def _batch(self, lines: list[LogLine]) -> api_pb2.TaskLogsBatch:
        first = lines[0]
        return api_pb2.TaskLogsBatch(
            task_id=first.task_id,
            function_id=first.function_id,
            input_id=first.input_id,
            entry_id=str(lines[-1].entry),
            items=[
                api_pb2.TaskLogs(
                    data=line.data,
                    timestamp=line.timestamp,
                    file_descriptor=line.source,  # type: ignore[arg-type]
                    function_call_id=line.call_id,
                    input_id=line.input_id,
                    container_id=line.task_id,
                )
                for line in lines
            ],
        )
