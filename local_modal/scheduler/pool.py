"""The containers of one definition: forked ahead, given to inputs, replaced, ended."""

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any

from modal_proto import api_pb2

from local_modal.runtime.payload import Payload
from local_modal.runtime.zygote import Container, ZygoteFailed, launch_direct
from local_modal.scheduler import results
from local_modal.scheduler.calls import Input
from local_modal.scheduler.host import Host, StartError, UnshareableError
from local_modal.scheduler.snapshot import Snapshot, Stem
from local_modal.scheduler.task import Definition, Task, socket_pair
from local_modal.store.functions import BoundFunction

log = logging.getLogger(__name__)
START = "start"
"""Name of the timer that runs from an input's assignment until the container asks for it."""
STOPPED = "the app was stopped"
ASK_SECONDS = 0.2
"""A container that serves several inputs at once and doesn't ask for the next within this is taken for busy (s)."""


class Pool:
    """Containers of one definition: for any parameters where the snapshot is `shared`, else for those of `bound`."""

    def __init__(
        self, host: Host, definition: Definition, bound: BoundFunction, *, shared: bool, stem: Stem | None = None
    ) -> None:
        self.definition = definition
        self.tasks: set[Task] = set()
        self._host = host
        self._bound = bound
        self._pending: deque[Input] = deque()
        self._spares: deque[Task] = deque()
        self._jobs: set[asyncio.Task[None]] = set()
        self._closing = False
        self._preparing = False
        self._launching = 0
        self._watching = False
        self._shared = shared
        self._snapshot = Snapshot(host, definition, bound, shared=shared, stem=stem) if definition.snapshot else None

    def submit(self, entries: Iterable[Input]) -> None:
        """Queue inputs, and give them to containers as far as there is room."""
        self._pending.extend(entries)
        self.pump()

    def pump(self) -> None:
        """Give waiting inputs to waiting containers, or start containers for them."""
        while self._pending:
            entry = self._pending[0]
            if not entry.done and not self._place(entry):
                return
            self._pending.popleft()

    def prepare(self) -> None:
        """Take the snapshot before there is an input."""
        if self._snapshot and not self._snapshot.taken and not self._preparing:
            self._preparing = True
            self._spawn(self._prepare())

    def warm(self) -> None:
        """Start containers ahead, where that is set and nothing waits."""
        if self._closing or self._pending or (self._snapshot and not self._snapshot.taken):
            return
        there = self._spares if self.definition.single_use else self.tasks
        for _ in range(self._wanted() - len(there) - self._launching):
            self._launch_for(None)

    @property
    def waiting(self) -> tuple[Input, ...]:
        """Inputs that no container has."""
        return tuple(self._pending)

    def _wanted(self) -> int:
        return self._host.scaling.spares(self.definition, self._bound, shared=self._shared)

    def _is_wanted(self) -> bool:
        """Whether a container that has been idle for long is one of those that are to be there."""
        return not self._closing and len(self.tasks) <= self._wanted()

    def _place(self, entry: Input) -> bool:
        if task := self._waiting_for(entry.call.function):
            assert task.getter is not None  # noqa: S101 - what _waiting_for looks for
            task.assigned.append(entry)
            task.given_at = asyncio.get_running_loop().time()
            task.getter.set_result(None)
        elif self._spares:
            self._assign(self._spares.popleft(), entry)
        elif self._may_start(entry):
            self._host.capacity.starting += 1
            self._launch_for(entry)
        else:
            return False
        return True

    def _may_start(self, entry: Input) -> bool:
        if self._snapshot and not self._snapshot.taken:
            self.prepare()
            return False
        if not self._host.capacity.free or self._will_be_taken() or self._will_be_asked_for(entry):
            return False
        most = self._host.scaling.autoscaler(self.definition, entry.call.function).max_containers
        return not most or len(self.tasks) - len(self._spares) + self._launching < most

    def _will_be_taken(self) -> bool:
        """Whether containers that are starting have room for all inputs that wait."""
        more = max(self.definition.concurrency, self.definition.batch_size) - 1
        if not more:
            return False
        starting = self._launching + sum(START in task.timers for task in self.tasks)
        return len(self._pending) <= starting * more

    def _will_be_asked_for(self, entry: Input) -> bool:
        """Whether a container with room for it has just been given another: it asks for its next at once, if it can."""
        loop = asyncio.get_running_loop()
        found = self.definition.concurrency > 1 and any(
            task.bound == entry.call.function
            and not task.stopping
            and len(task.inputs) < self.definition.concurrency
            and loop.time() - task.given_at < ASK_SECONDS
            for task in self.tasks
        )
        if found and not self._watching:
            self._watching = True
            loop.call_later(ASK_SECONDS, self._watched)
        return found

    def _watched(self) -> None:
        self._watching = False
        self.pump()

    def _waiting_for(self, bound: BoundFunction) -> Task | None:
        for task in self.tasks:
            if task.getter is None or task.getter.done() or task.assigned or task.stopping:
                continue
            if task.bound == bound:
                return task
        return None

    def _assign(self, task: Task, entry: Input) -> None:
        assert task.process is not None  # noqa: S101 - it was started
        settings = self._host.settings
        deadline = self.definition.function.startup_timeout_secs or settings.startup_timeout
        if self._snapshot:
            deadline = min(deadline, settings.start_deadline)
        task.bound = entry.call.function
        task.assigned.append(entry)
        self._host.capacity.running += 1
        task.process.assign(task.bound.bound_id, task.bound.params)
        if task.getter is not None and not task.getter.done():
            task.getter.set_result(None)
            return
        task.timers[START] = asyncio.get_running_loop().call_later(deadline, self._late, task, deadline)
        task.on_asked = functools.partial(self._started, task)
        self._host.capacity.starting += 1

    def _late(self, task: Task, deadline: float) -> None:
        task.failure = results.init_failure(f"the container did not ask for its input within {deadline:g} s")
        task.kill()

    def _started(self, task: Task) -> None:
        task.timers.pop(START).cancel()
        self._host.capacity.starting -= 1
        self._host.released()

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        running = asyncio.create_task(job)
        self._jobs.add(running)
        running.add_done_callback(self._jobs.discard)

    async def _prepare(self) -> None:
        """Take the snapshot; while it is being taken, inputs wait."""
        assert self._snapshot is not None  # noqa: S101 - who calls has looked
        try:
            await self._snapshot.ready()
        except UnshareableError:
            pending = list(self._pending)
            self._pending.clear()
            self._host.unshareable(self.definition, pending)
        except StartError as failed:
            self._fail(failed.result)
        except Exception as error:
            log.exception("the snapshot of %s could not be taken", self.definition.function.function_name)
            self._fail(results.internal_failure(f"the container could not be started: {error}"))
        finally:
            self._preparing = False
        self.pump()
        self.warm()

    def _launch_for(self, entry: Input | None) -> None:
        self._launching += 1
        self._spawn(self._start(entry))

    async def _start(self, entry: Input | None) -> None:
        """A container for an input (which has taken a place in the capacity), or a spare."""
        try:
            task = await self._launch()
        except StartError as failed:
            self._fail(failed.result, entry)
            return
        except asyncio.CancelledError:
            self._fail(results.terminated(STOPPED), entry)
            raise
        except Exception as error:
            log.exception("a container of %s could not be started", self.definition.function.function_name)
            self._fail(results.internal_failure(f"the container could not be started: {error}"), entry)
            return
        finally:
            self._launching -= 1
            if entry is not None:
                self._host.capacity.starting -= 1
        if entry is not None and not entry.done:
            self._assign(task, entry)
        else:
            self._spares.append(task)
            self.pump()

    async def _launch(self) -> Task:
        """A container; asked for once more where the process that was to fork it died, since nothing of it has run."""
        try:
            return await self._launch_once()
        except ZygoteFailed:
            if not self._snapshot:
                raise
            return await self._launch_once()

    async def _launch_once(self) -> Task:
        task = Task(self.definition, max_bytes=self._host.settings.max_output_bytes)
        task.open_log(self._host.log_writer, self._host.settings.max_log_bytes)
        if self._snapshot and self.definition.one_input:
            task.payload = Payload.create()
        ours, theirs = socket_pair()
        try:
            container = await self._process(task, theirs)
            task.process = container
            task.connection = await self._host.serve(task, ours)
        except BaseException:
            ours.close()
            task.kill()
            task.let_go()
            raise
        finally:
            theirs.close()
            task.log.close_write()
        self.tasks.add(task)
        task.wanted = self._is_wanted
        container.exited.add_done_callback(lambda ended: self._ended(task, str(ended.result())))
        return task

    async def _process(self, task: Task, end: Any) -> Container:
        if self._snapshot:
            return await self._snapshot.fork(task, end)
        spec = await self._host.launch_spec(task, self._bound, shared=False)
        return await launch_direct(spec, task.task_id, end, task.log.write_ends, self._host.run_dir)

    def _ended(self, task: Task, how: str) -> None:
        """The container is gone: its inputs are answered, or given to another where it never asked for them."""
        self.tasks.discard(task)
        if task in self._spares:
            self._spares.remove(task)
        if task.bound is not None:
            self._host.capacity.running -= 1
        task.asked()
        for timer in task.timers.values():
            timer.cancel()
        for entry in task.inputs:
            if task.failure is not None:
                self._host.finish(entry, task.failure)
            elif task.stopping and not entry.done and entry.call.repeatable:
                self._pending.appendleft(entry)
            elif entry.input_id in task.running or entry.attempts:
                self._host.finish(entry, results.internal_failure(f"container {task.task_id} died: {how}"))
            else:
                log.warning("container %s ended before its input: %s", task.task_id, how)
                entry.attempts += 1
                self._pending.appendleft(entry)
        task.let_go()
        self._host.ended(task)
        self.pump()
        self.warm()
        self._host.released()
        if self._closing and not self.tasks and not self._pending:
            self._spawn(self.close())

    def _fail(self, result: api_pb2.GenericResult, entry: Input | None = None) -> None:
        """Nothing can start: the input, and every one that waits, has the reason as its answer."""
        failed = [*([entry] if entry else []), *self._pending]
        self._pending.clear()
        for waiting in failed:
            self._host.finish(waiting, result)

    def retire(self) -> None:
        """A newer definition is live: end when the running inputs have ended."""
        self._closing = True
        for task in list(self.tasks):
            if task in self._spares:
                task.kill()
            elif not task.inputs:
                task.stop()
        if not self.tasks and not self._pending:
            self._spawn(self.close())

    async def close(self) -> None:
        """End every container, and the snapshot; what waits or runs gets its answer from the ends of the containers."""
        self._closing = True
        await asyncio.sleep(0)  # a job that is cancelled before it has begun cleans nothing up
        current = asyncio.current_task()
        for job in self._jobs - ({current} if current else set()):
            job.cancel()
        self._fail(results.terminated(STOPPED))
        for task in list(self.tasks):
            task.kill()
        if self._snapshot:
            await self._snapshot.close()
