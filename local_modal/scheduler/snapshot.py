"""The snapshot of one definition: a process that has imported it, and forks single-use containers from itself."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from local_modal.runtime.zygote import Container, Zygote, ZygoteFailed
from local_modal.scheduler import results
from local_modal.scheduler.host import Host, StartError, UnshareableError
from local_modal.scheduler.task import Definition, Task, socket_pair
from local_modal.store.functions import BoundFunction

Forked = TypeVar("Forked")


class Stem:
    """Of a definition whose snapshot hooks read parameters: a process that has imported it and run no hook.

    Snapshots are forked from it, one for each set of parameters; it ends with the last of them.
    """

    def __init__(self, host: Host, definition: Definition, bound: BoundFunction) -> None:
        self._process = Snapshot(host, definition, bound, shared=True, is_stem=True)
        self._users: set[Snapshot] = set()

    async def branch(self, user: "Snapshot", task: Task, end: socket.socket, bound: BoundFunction) -> Zygote:
        """A process that runs its hooks with the parameters of `bound`, for `user`; raises what `Snapshot.ask` does."""
        self._users.add(user)
        state = {"task_id": task.task_id, "function_id": bound.bound_id}
        return await self._process.ask(
            lambda stem: stem.branch(task.task_id, end, task.log.write_ends, state, bound.params)
        )

    async def leave(self, user: "Snapshot") -> None:
        """`user` has ended for good."""
        self._users.discard(user)
        if not self._users:
            await self._process.close()


class Snapshot:
    """Taken at the first use; taken again when its process has died."""

    def __init__(
        self,
        host: Host,
        definition: Definition,
        bound: BoundFunction,
        *,
        shared: bool,
        is_stem: bool = False,
        stem: Stem | None = None,
    ) -> None:
        self._host = host
        self._definition = definition
        self._bound = bound
        self._shared = shared
        self._is_stem = is_stem
        self._stem = stem
        self._taking: asyncio.Task[Zygote] | None = None

    @property
    def taken(self) -> bool:
        """Whether containers can be forked now."""
        taking = self._taking
        return bool(taking and taking.done() and not taking.cancelled() and not taking.exception()) and not self._dead

    @property
    def _dead(self) -> bool:
        return self._taking is not None and self._taking.result().exited.done()

    async def ready(self) -> Zygote:
        """Take the snapshot, where it isn't taken.

        Raises:
            StartError: it can't be taken; the error has what callers get.
            UnshareableError: the definition can't share one snapshot over all parameters.
        """
        if self._taking is None or (self._taking.done() and not self.taken):
            self._taking = asyncio.create_task(self._take())
        return await asyncio.shield(self._taking)

    async def fork(self, task: Task, end: socket.socket) -> Container:
        """A container for `task`, whose socket's other end is `end`; raises what `ask` raises."""
        state = {"task_id": task.task_id, "function_id": self._bound.bound_id}
        payload = task.payload.descriptor if task.payload else None
        return await self.ask(lambda zygote: zygote.fork(task.task_id, end, task.log.write_ends, state, payload))

    async def ask(self, forked: Callable[[Zygote], Coroutine[Any, Any, Forked]]) -> Forked:
        """What the process forks.

        Raises:
            ZygoteFailed: it died meanwhile; asked again, another one answers.
            StartError, UnshareableError: as `ready`.
        """
        zygote = await self.ready()
        seconds = self._host.settings.start_deadline
        try:
            return await asyncio.wait_for(forked(zygote), seconds)
        except ZygoteFailed:
            await zygote.settled()
            raise
        except TimeoutError as error:
            await zygote.close()
            what = f"the snapshot's process did not fork a container within {seconds:g} s; it is taken anew"
            raise StartError(results.internal_failure(what)) from error

    async def _take(self) -> Zygote:
        host = self._host
        task = Task(self._definition)
        task.open_log(host.log_writer, host.settings.max_log_bytes)
        timeout = self._definition.function.startup_timeout_secs or host.settings.startup_timeout
        ours, theirs = socket_pair()
        zygote: Zygote | None = None
        try:
            task.connection = await host.serve(task, ours)
            zygote = await self._start(task, theirs)
            theirs.close()
            task.log.close_write()
            await asyncio.wait_for(zygote.ready(), timeout)
        except BaseException as error:
            await self._clean(task, zygote, theirs)
            if isinstance(error, TimeoutError):
                what = f"the container did not start within its startup_timeout of {timeout:g} s"
                raise StartError(results.init_failure(what)) from error
            if isinstance(error, ZygoteFailed):
                if error.unshareable:
                    raise UnshareableError from error
                if error.killed or error.exit_status is None:
                    what = f"the process that containers are forked from was killed ({error})"
                    raise StartError(results.internal_failure(what)) from error
                raise StartError(
                    task.failure or results.init_failure(f"the container failed to start: {error}")
                ) from error
            raise
        zygote.exited.add_done_callback(lambda _: task.log.drain_and_close())
        return zygote

    async def _start(self, task: Task, end: socket.socket) -> Zygote:
        if self._stem:
            return await self._stem.branch(self, task, end, self._bound)
        spec = await self._host.launch_spec(task, self._bound, shared=self._shared)
        spec = replace(spec, stem=self._is_stem)
        return await Zygote.start(spec, end, task.log.write_ends, self._host.run_dir)

    async def _clean(self, task: Task, zygote: Zygote | None, theirs: socket.socket) -> None:
        theirs.close()
        if zygote is not None:
            await zygote.close()
        if task.connection is not None:
            task.connection.close()
        task.log.drain_and_close()

    async def close(self) -> None:
        """End the process, and with it every container that it forked."""
        taking, self._taking = self._taking, None
        if taking is not None:
            if not taking.done():
                taking.cancel()
            (result,) = await asyncio.gather(taking, return_exceptions=True)
            if isinstance(result, Zygote):
                await result.close()
        if self._stem:
            await self._stem.leave(self)
