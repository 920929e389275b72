"""One request's call: opened when a client comes, and let go so that no container works for a client who has left."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from modal_proto import api_pb2

from local_modal.plane import Plane
from local_modal.scheduler.calls import RESTARTED, Call
from local_modal.scheduler.exchange import Exchange
from local_modal.scheduler.pool import STOPPED
from local_modal.scheduler.results import Result
from local_modal.store.functions import BoundFunction
from local_modal.web.address import Endpoint


class RefusedError(Exception):
    """The request has no answer of the endpoint: a status and a line of text instead."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Visit:
    """A call of a web endpoint from its opening on; `exchange` carries the request and the answer."""

    def __init__(self, plane: Plane, endpoint: Endpoint, exchange: Exchange, call: Call) -> None:
        self.exchange = exchange
        self.endpoint = endpoint
        self._plane = plane
        self._call = call

    async def end(self, *, cancel: bool) -> None:
        """Until the call has ended and is forgotten; where it is to be cancelled, in bounded time."""
        self.exchange.leave()
        try:
            if cancel:
                await self._cancel()
            await self.exchange.ended()
        finally:
            self._plane.scheduler.calls.forget(self._call)

    async def _cancel(self) -> None:
        """The application knows that its client has left, and may end by itself; then it is cancelled."""
        if self.exchange.begun:
            try:
                await asyncio.wait_for(self.exchange.ended(), self._plane.settings.cancel_grace)
            except TimeoutError:
                pass
            else:
                return
        self._plane.scheduler.cancel(self._call, terminate=False)


class Visits:
    """All that there are."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._ending: set[asyncio.Task[None]] = set()
        self.open = 0
        """How many clients are being served (count)."""

    def begin(self, endpoint: Endpoint, params: bytes, payload: api_pb2.FunctionInput, exchange: Exchange) -> Visit:
        """Give a request to the scheduler."""
        definition = endpoint.definition
        bound = BoundFunction(definition.function_id, definition.function_id, b"")
        if params:
            bound = self._plane.functions.instance(definition.function_id, params)
        call = Call(
            bound,
            definition.app_id,
            api_pb2.FUNCTION_CALL_TYPE_UNARY,
            api_pb2.FUNCTION_CALL_INVOCATION_TYPE_SYNC,
            exchange=exchange,
        )
        self._plane.scheduler.calls.add(call)
        self._plane.scheduler.submit(definition, call, [api_pb2.FunctionPutInputsItem(input=payload)])
        return Visit(self._plane, endpoint, exchange, call)

    def end(self, visit: Visit, *, cancel: bool) -> None:
        """The client has its answer, or has left (`cancel`): what is left of its call ends in the background."""
        self._spawn(visit.end(cancel=cancel))

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        running = asyncio.create_task(job)
        self._ending.add(running)
        running.add_done_callback(self._ending.discard)


def failure(exchange: Exchange) -> RefusedError:
    """For a client whose request had no answer; says nothing of what the container said."""
    result = exchange.result or Result()
    if exchange.fault or result.status == Result.GENERIC_STATUS_SUCCESS:
        return RefusedError(502, "the endpoint's answer was none")
    if result.exception in {RESTARTED, STOPPED}:
        return RefusedError(503, result.exception)
    if result.status == Result.GENERIC_STATUS_TIMEOUT:
        return RefusedError(504, "the function hit its timeout")
    if result.status == Result.GENERIC_STATUS_TERMINATED:
        return RefusedError(503, "the request was cancelled")
    if result.status == Result.GENERIC_STATUS_INIT_FAILURE:
        return RefusedError(500, "the endpoint's container failed to start; `modal app logs` has what it printed")
    return RefusedError(500, "the endpoint failed; `modal app logs` has what it printed")
