"""Makes one call to the deployed executor: connects, waits within limits, decodes the answer, names what went wrong."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Literal, TypeVar

from roboflow_workflows.errors import WorkflowError

from modal_app.contract.request import Request
from modal_app.contract.response import Response, decode_response
from modal_app.server import configuration
from modal_app.server.connection import check_installation, open_connection

T = TypeVar("T")
Method = Literal["execute", "validate"]


def call(method: Method, workspace_id: str, request: Request, block_type: str) -> Response:
    """The answer of a fresh container of the workspace's executor. Never runs anything in this process instead.

    Raises:
        DynamicBlockError: there is no answer, or none that can be accepted; the message says what to do.
        DynamicBlockCodeError: the block is why: it ran out of time or memory, or its result is too large.
    """
    return _off_the_event_loop(lambda: _call(method, workspace_id, request, block_type))


def _call(method: Method, workspace_id: str, request: Request, block_type: str) -> Response:
    check_installation()
    from modal_app.gate import call_limits  # noqa: PLC0415 - as above
    from modal_app.server.failures import call_error  # noqa: PLC0415 - imports modal, which is there by now

    server, limits = configuration.SERVER, configuration.LIMITS
    seconds = server.call_seconds(configuration.APP)
    with call_limits(step_seconds=server.step_seconds, seconds=seconds, max_bytes=limits.answer_bytes) as record:
        try:
            connection = open_connection()
            connection.check_workspace()
            return decode_response(connection.remote(method, workspace_id, request, record), limits)
        except WorkflowError:
            raise
        except Exception as error:
            raise call_error(error, record, block_type, request["inputs"]) from error


def _off_the_event_loop(action: Callable[[], T]) -> T:
    """Runs `action`, in another thread if this one runs an event loop: Modal's blocking interface doesn't go with one.

    The caller waits either way: the engine is synchronous.
    """
    if not _runs_event_loop():
        return action()
    with ThreadPoolExecutor(1, thread_name_prefix="custom-block-call") as pool:
        return pool.submit(copy_context().run, action).result()


def _runs_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
