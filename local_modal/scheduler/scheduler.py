"""Every call's way to a container and back, over all apps."""

import asyncio
import functools
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from modal_proto import api_pb2

from local_modal.runtime.payload import INLINE_BYTES
from local_modal.runtime.zygote import LaunchSpec
from local_modal.scheduler import results
from local_modal.scheduler.answers import Answers
from local_modal.scheduler.calls import RESTARTED, Call, Calls, Input
from local_modal.scheduler.host import Capacity
from local_modal.scheduler.logs import LogWriter
from local_modal.scheduler.pool import STOPPED, Pool
from local_modal.scheduler.scaling import Scaling
from local_modal.scheduler.snapshot import Stem
from local_modal.scheduler.task import DEFAULT_SCALEDOWN_WINDOW, Connection, Definition, Task
from local_modal.settings import Settings
from local_modal.store.autoscalers import Autoscalers
from local_modal.store.blobs import Blobs
from local_modal.store.functions import BoundFunction
from local_modal.store.logs import LoggedContainer

log = logging.getLogger(__name__)
IDLE = "idle"
"""Name of the timer that runs while a container waits and runs nothing."""
MAX_ENDED = 10_000
"""Containers that are remembered after their end (count)."""
Serve = Callable[[Task, socket.socket], Awaitable[Connection]]
BuildSpec = Callable[[Task, BoundFunction, bool], Awaitable[LaunchSpec]]
END = api_pb2.FunctionGetInputsResponse(inputs=[api_pb2.FunctionGetInputsItem(kill_switch=True)])


class Scheduler:
    """Pools by definition; the timers of inputs; what containers report."""

    def __init__(
        self,
        settings: Settings,
        calls: Calls,
        blobs: Blobs,
        log_writer: LogWriter,
        run_dir: Path,
        autoscalers: Autoscalers,
    ) -> None:
        self.settings = settings
        self.capacity = Capacity(settings.max_containers, settings.max_starting)
        self.log_writer = log_writer
        self.run_dir = run_dir
        self.calls = calls
        self._blobs = blobs
        self.answers = Answers(self.finish, blobs, settings.max_output_bytes)
        self.scaling = Scaling(settings, autoscalers)
        self._pools: dict[tuple[str, bytes], Pool] = {}
        self._retired: set[Pool] = set()
        self._unshareable: dict[str, Stem] = {}
        self._ended: dict[str, LoggedContainer] = {}
        self._serve: Serve | None = None
        self._build_spec: BuildSpec | None = None

    def connect(self, serve: Serve, build_spec: BuildSpec) -> None:
        """Set how task sockets are served and what a container is started with; before the first call."""
        self._serve = serve
        self._build_spec = build_spec

    # --- for callers ------------------------------------------------------------------------------------------

    def submit(self, definition: Definition, call: Call, items: Iterable[api_pb2.FunctionPutInputsItem]) -> list[Input]:
        """Queue a call's inputs."""
        entries = self.calls.add_inputs(call, items)
        self._pool(definition, call.function).submit(entries)
        return entries

    def retry(self, definition: Definition, entry: Input, payload: api_pb2.FunctionInput) -> None:
        """Run a failed input again, as its caller's retry policy asks for."""
        entry.call.retry(entry, payload)
        self._pool(definition, entry.call.function).submit([entry])

    def cancel(self, call: Call, *, terminate: bool) -> None:
        """Answer what waits; tell the containers of what runs, and end those that don't obey in time."""
        call.cancelled = True
        tasks = {input_id: task for task in self.tasks() for input_id in task.running}
        for entry in list(call.inputs.values()):
            task = tasks.get(entry.input_id)
            if entry.done:
                continue
            if task is None or terminate:
                self.finish(entry, results.terminated())
                if task:
                    task.end()
            else:
                task.cancel(entry)
                asyncio.get_running_loop().call_later(self.settings.cancel_grace, self._cancel_ignored, task, entry)

    def _cancel_ignored(self, task: Task, entry: Input) -> None:
        if not entry.done:
            self.finish(entry, results.terminated())
            if any(not other.done for other in task.running.values()):
                task.stop()
                task.spent = True
            else:
                task.end()

    def prepare(self, definition: Definition, function_id: str) -> None:
        """Take the snapshot of a definition that has just gone live, and start what is to be there ahead of inputs.

        That of web endpoints is taken at the first request, as on Modal, unless they ask for containers ahead: it takes
        memory, and not every app's endpoints are ever used.
        """
        if definition.shareable or not definition.function.is_class:
            bound = BoundFunction(function_id, function_id, b"")
            at_once = definition.snapshot and not definition.serves_web
            if at_once or self.scaling.asked(definition, bound, shared=False):
                self.scale(definition, bound)

    def scale(self, definition: Definition, bound: BoundFunction) -> None:
        """The settings of a function have changed: have as many containers waiting as they say."""
        pool = self._pool(definition, bound)
        pool.prepare()
        pool.warm()

    def retire(self, definition_ids: Iterable[str]) -> None:
        """These are no longer live: their containers end with what they run."""
        gone = set(definition_ids)
        for key in [key for key, pool in self._pools.items() if pool.definition.base_id in gone]:
            self._retire(self._pools.pop(key))

    def secret_changed(self, secret_id: str) -> None:
        """What was started with the old values ends with what it runs; further inputs get the new ones."""
        for key in [key for key, pool in self._pools.items() if secret_id in pool.definition.function.secret_ids]:
            self._retire(self._pools.pop(key))

    async def stop_app(self, app_id: str) -> None:
        """End every container of an app, and answer its calls."""
        keys = [key for key, pool in self._pools.items() if pool.definition.app_id == app_id]
        pools = [self._pools.pop(key) for key in keys]
        for call in self.calls.running():
            if call.app_id == app_id:
                for entry in list(call.inputs.values()):
                    self.finish(entry, results.terminated(STOPPED))
        await asyncio.gather(*(pool.close() for pool in pools))

    async def close(self) -> None:
        """End every container; callers who wait are told why before their connections end."""
        for call in self.calls.running():
            for entry in list(call.inputs.values()):
                self.finish(entry, results.internal_failure(RESTARTED))
        pools = [*self._pools.values(), *self._retired]
        self._pools, self._retired = {}, set()
        await asyncio.gather(*(pool.close() for pool in pools), return_exceptions=True)

    def tasks(self, app_id: str | None = None) -> list[Task]:
        """Every container, those forked ahead included."""
        pools = [pool for pool in (*self._pools.values(), *self._retired) if app_id in {None, pool.definition.app_id}]
        return [task for pool in pools for task in pool.tasks]

    def ended(self, task: Task) -> None:
        """A container is gone: it is remembered for a while."""
        if task.bound is not None:
            self._ended[task.task_id] = _known(task, time.time())
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def stats(self, bound: BoundFunction) -> api_pb2.FunctionStats:
        """What there is now of a function, all its instances included, or of one instance."""
        own = bound.bound_id == bound.function_id
        pools = [pool for pool in self._pools.values() if pool.definition.function_id == bound.function_id]
        tasks = [task for pool in pools for task in pool.tasks if own or task.bound == bound]
        return api_pb2.FunctionStats(
            backlog=sum(own or entry.call.function == bound for pool in pools for entry in pool.waiting),
            num_total_tasks=len(tasks),
            num_running_inputs=sum(len(task.running) for task in tasks),
        )

    def known_task(self, task_id: str) -> LoggedContainer | None:
        """What is known of a container that runs, or that is gone."""
        running = next((task for task in self.tasks() if task.task_id == task_id), None)
        return _known(running, 0.0) if running else self._ended.get(task_id)

    def active_tasks(self, app_id: str | None = None) -> list[Task]:
        """Those that have, or had, an input."""
        return [task for task in self.tasks(app_id) if task.bound is not None]

    # --- for containers ---------------------------------------------------------------------------------------

    async def get_inputs(self, task: Task) -> api_pb2.FunctionGetInputsResponse:
        """The container's next input, or batch of inputs, as soon as there is one; or that it is to end."""
        task.asked()
        if task.served and task.definition.single_use:
            return END
        entries = []
        if entry := await self._next_input(task, None):
            entries.append(entry)
        loop = asyncio.get_running_loop()
        end = loop.time() + task.definition.batch_wait
        while entries and len(entries) < task.definition.batch_size:
            if (entry := await self._next_input(task, max(0.0, end - loop.time()))) is None:
                break
            entries.append(entry)
        items = [await self._handed_out(task, entry) for entry in entries if not entry.done]
        return api_pb2.FunctionGetInputsResponse(inputs=items) if items else END

    async def _next_input(self, task: Task, seconds: float | None) -> Input | None:
        """Given to the container from now on; None when it is to end, or after so many seconds."""
        while not task.stopping:
            if not task.assigned:
                await self._wait_for_input(task, seconds)
            if not task.assigned:
                return None
            entry = task.assigned.popleft()
            task.given_at = asyncio.get_running_loop().time()
            task.served += 1
            if not entry.done:
                task.running[entry.input_id] = entry
                return entry
            if task.definition.single_use:
                return None
        return None

    async def _handed_out(self, task: Task, entry: Input) -> api_pb2.FunctionGetInputsItem:
        await self._inline(entry.payload)
        task.received_bytes = 0
        if task.definition.timeout:
            expire = functools.partial(self._time_out, task, entry)
            task.timers[entry.input_id] = asyncio.get_running_loop().call_later(task.definition.timeout, expire)
        return api_pb2.FunctionGetInputsItem(
            input_id=entry.input_id,
            input=_for_container(task, entry.payload),
            function_call_id=entry.call.call_id,
            function_call_invocation_type=entry.call.invocation,  # type: ignore[arg-type]
            retry_count=entry.retries,
            function_map_idx=entry.index,
        )

    async def _wait_for_input(self, task: Task, seconds: float | None) -> None:
        """Until an input is given, or the container is to end; at most for so many seconds."""
        task.getter = asyncio.get_running_loop().create_future()
        self._pump()
        self._watch_idle(task)
        try:
            await asyncio.wait_for(task.getter, seconds)
        except TimeoutError:
            return
        finally:
            task.getter = None
            if timer := task.timers.pop(IDLE, None):
                timer.cancel()

    def _watch_idle(self, task: Task) -> None:
        """A container that runs nothing and waits ends after its scale-down window, unless it is to be there."""
        if task.getter is None or task.getter.done() or task.running or task.bound is None:
            return
        window = self.scaling.autoscaler(task.definition, task.bound).scaledown_window or DEFAULT_SCALEDOWN_WINDOW
        task.timers[IDLE] = asyncio.get_running_loop().call_later(window, self._idle, task)

    def _idle(self, task: Task) -> None:
        if task.wanted():
            self._watch_idle(task)
        else:
            task.stop()

    def concurrency(self, task: Task) -> int:
        """Inputs that a container is to work on at once: more where inputs wait."""
        backlog = any(pool.waiting for pool in (*self._pools.values(), *self._retired) if task in pool.tasks)
        return task.definition.most_concurrency if backlog else task.definition.concurrency

    async def _inline(self, payload: api_pb2.FunctionInput) -> None:
        """A container has no network to fetch a blob with: it gets the bytes."""
        if payload.WhichOneof("args_oneof") == "args_blob_id":
            payload.args = await self._blobs.read(payload.args_blob_id) or b""

    # --- for pools --------------------------------------------------------------------------------------------

    async def serve(self, task: Task, end: socket.socket) -> Connection:
        """Answer the RPCs that come over a task's socket."""
        assert self._serve is not None  # noqa: S101 - connected before the first call
        return await self._serve(task, end)

    async def launch_spec(self, task: Task, bound: BoundFunction, *, shared: bool) -> LaunchSpec:
        """Everything that a container of the task's definition is started with."""
        assert self._build_spec is not None  # noqa: S101 - connected before the first call
        return await self._build_spec(task, bound, shared)

    def finish(
        self,
        entry: Input,
        result: api_pb2.GenericResult,
        data_format: int = api_pb2.DATA_FORMAT_UNSPECIFIED,
        task: Task | None = None,
        started_at: float = 0.0,
    ) -> None:
        """An input's one answer; later ones are dropped."""
        if task is not None:
            task.running.pop(entry.input_id, None)
            if timer := task.timers.pop(entry.input_id, None):
                timer.cancel()
            self._watch_idle(task)
            if task.spent and all(other.done for other in task.running.values()):
                task.end()
            if task.definition.single_use:
                task.timers["exit"] = asyncio.get_running_loop().call_later(self.settings.exit_grace, task.kill)
        if entry.done:
            return
        if entry.call.retries and not entry.call.spawned:
            result = results.countable(result)
        self.calls.finish(
            entry,
            api_pb2.FunctionGetOutputsItem(
                result=result,
                data_format=data_format,  # type: ignore[arg-type]
                task_id=task.task_id if task else "",
                input_started_at=started_at,
                output_created_at=time.time(),
            ),
        )

    def unshareable(self, definition: Definition, pending: list[Input]) -> None:
        """From now on, a pool for each set of parameters; the inputs go there."""
        log.info("%s reads parameters before its snapshot: one snapshot each", definition.function.function_name)
        bound = BoundFunction(definition.function_id, definition.function_id, b"")
        self._unshareable.setdefault(definition.definition_id, Stem(self, definition, bound))
        if pool := self._pools.pop((definition.definition_id, b""), None):
            self._retire(pool)
        for entry in pending:
            self._pool(definition, entry.call.function).submit([entry])

    def released(self) -> None:
        """There may be room for other pools' inputs."""
        asyncio.get_running_loop().call_soon(self._pump)

    def _retire(self, pool: Pool) -> None:
        self._retired = {left for left in self._retired if left.tasks} | {pool}
        pool.retire()

    def _pump(self) -> None:
        for pool in [*self._pools.values(), *self._retired]:
            pool.pump()

    def _pool(self, definition: Definition, bound: BoundFunction) -> Pool:
        can_share = definition.shareable and definition.definition_id not in self._unshareable
        shared = definition.snapshot and can_share
        key = (definition.definition_id, b"" if shared else bound.params)
        if key not in self._pools:
            stem = self._unshareable.get(definition.definition_id)
            self._pools[key] = Pool(self, definition, bound, shared=shared, stem=stem)
        return self._pools[key]

    def _time_out(self, task: Task, entry: Input) -> None:
        self.finish(entry, results.timed_out(entry.input_id, task.definition.timeout), task=task)
        task.end()


def _for_container(task: Task, payload: api_pb2.FunctionInput) -> api_pb2.FunctionInput:
    """An input as its container gets it: a large argument in the memory that they share."""
    if task.payload is None or len(payload.args) <= INLINE_BYTES:
        return payload
    try:
        reference = task.payload.put(payload.args)
    except OSError as error:
        log.warning("an argument of %d bytes goes without shared memory: %s", len(payload.args), error)
        return payload
    return api_pb2.FunctionInput(
        args_blob_id=reference,
        final_input=payload.final_input,
        data_format=payload.data_format,
        method_name=payload.method_name,
    )


def _known(task: Task, finished_at: float) -> LoggedContainer:
    return LoggedContainer(task.task_id, task.definition.app_id, task.started_at, finished_at)
