"""The process of a test's inference server: `python -m tests.chain.server_process FD` answers over a socket."""

import contextlib
import io
import os
import pickle
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

import inference.core  # noqa: F401 - first: it installs the configuration that the engine reads
from roboflow_workflows.execution_engine.core import ExecutionEngine
from roboflow_workflows.execution_engine.v1.dynamic_blocks.debug_logs import register_debug_session

from modal_app.server import connection as modal_connection
from tests.chain.server import Failure, Run, Unsendable


class _Workspace:
    """Resolves any API key to one workspace: no platform is asked."""

    def __init__(self, name: str | None) -> None:
        self.name = name

    def resolve_workspace(self, api_key: str | None) -> str | None:
        _ = api_key
        return self.name


def _serve(connection: Connection) -> None:
    connection.send("ready")
    while True:
        try:
            workflow, workspace, settings, parameters = connection.recv()
        except EOFError:
            return
        if settings:
            os.environ.update(settings)
            modal_connection.close()
        connection.send(_run(workflow, workspace, parameters))


def _run(workflow: dict[str, Any], workspace: str | None, parameters: dict[str, Any]) -> Run:
    results, failure, begin = None, None, time.monotonic()
    with register_debug_session() as session, _captured() as printed:
        try:
            engine = ExecutionEngine.init(
                workflow_definition=workflow,
                init_parameters={"workflows_core.workspace_resolver": _Workspace(workspace)},
            )
            results = engine.run(runtime_parameters=parameters)
        except BaseException as error:  # noqa: BLE001 - the tests say which it must be
            failure = _describe(error)
    return Run(
        None if results is None else [{name: _sendable(value) for name, value in each.items()} for each in results],
        failure,
        time.monotonic() - begin,
        _text(printed),
        session.output_streams.snapshot(),
        session.debug_traces.snapshot(),
    )


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def _sendable(value: Any) -> Any:
    try:
        ForkingPickler.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        return Unsendable(type(value).__qualname__)
    return value


@contextlib.contextmanager
def _captured() -> Iterator[io.TextIOWrapper]:
    """A stream as a server has it: of bytes, in UTF-8."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="", write_through=True)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield stream


def _describe(error: BaseException) -> Failure:
    """The innermost exception of a dynamic block, if that is what is wrong."""
    named = {"DynamicBlockError", "DynamicBlockCodeError"}
    link: BaseException | None = error
    while link is not None and type(link).__name__ not in named:
        link = getattr(link, "inner_error", None) or link.__cause__
    found = error if link is None else link
    return Failure(
        type(found).__name__,
        getattr(found, "public_message", str(found)),
        getattr(found, "context", ""),
        getattr(found, "error_line", None),
        getattr(found, "code_snippet", None),
        getattr(found, "traceback_str", None),
        getattr(found, "stdout", None),
        getattr(found, "stderr", None),
    )


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
