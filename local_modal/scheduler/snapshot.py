"""The snapshot of one definition: a process that has imported it, and forks single-use containers from itself."""

import asyncio
import socket

from local_modal.runtime.zygote import Container, Zygote, ZygoteFailed
from local_modal.scheduler import results
from local_modal.scheduler.host import Host, StartError, UnshareableError
from local_modal.scheduler.task import Definition, Task, socket_pair
from local_modal.store.functions import BoundFunction


class Snapshot:
    """Taken at the first use; taken again when its process has died."""

    def __init__(self, host: Host, definition: Definition, bound: BoundFunction, *, shared: bool) -> None:
        self._host = host
        self._definition = definition
        self._bound = bound
        self._shared = shared
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
        """A container for `task`, whose socket's other end is `end`; raises what `ready` raises."""
        zygote = await self.ready()
        state = {"task_id": task.task_id, "function_id": self._bound.bound_id}
        seconds = self._host.settings.start_deadline
        try:
            return await asyncio.wait_for(zygote.fork(task.task_id, end, task.log.write_fd, state), seconds)
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
            spec = await host.launch_spec(task, self._bound, shared=self._shared)
            task.connection = await host.serve(task, ours)
            zygote = await Zygote.start(spec, theirs, task.log.write_fd, host.run_dir)
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
                raise StartError(
                    task.failure or results.init_failure(f"the container failed to start: {error}")
                ) from error
            raise
        zygote.exited.add_done_callback(lambda _: task.log.drain_and_close())
        return zygote

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
        if taking is None:
            return
        if not taking.done():
            taking.cancel()
        (result,) = await asyncio.gather(taking, return_exceptions=True)
        if isinstance(result, Zygote):
            await result.close()
