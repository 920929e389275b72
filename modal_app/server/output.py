"""Shows what a block printed and traced in its container where local execution shows it."""

import importlib.metadata
import logging
import sys
import threading
from functools import cache
from zoneinfo import available_timezones

from roboflow_workflows.execution_engine.v1.dynamic_blocks.debug_logs import get_active_collector
from roboflow_workflows.execution_engine.v1.dynamic_blocks.workflow_debug import get_active_debug_trace

from modal_app.contract.response import Response

logger = logging.getLogger(__name__)

_warned = threading.Event()

_DISTRIBUTIONS = ("inference-cpu", "inference-gpu", "inference", "inference-core")


def show(response: Response, step_name: str) -> None:
    """Writes to this process's stdout and stderr, and to the debug record of the workflow's run, if it has one.

    An entry of `debug_traces` that asked for a timestamp gets that of its arrival.
    """
    for stream, text in ((sys.stdout, response.printed.stdout), (sys.stderr, response.printed.stderr)):
        if text:
            stream.write(text)
            stream.flush()
    collector = get_active_collector()
    if collector is not None:
        collector.record(step_name, response.output.stdout or None, response.output.stderr or None)
    trace = get_active_debug_trace()
    if trace is not None:
        for entry in response.traces:
            zone = entry.get("timestamp_timezone")
            trace.append(
                step_name,
                entry.get("value"),
                add_timestamp="timestamp" in entry,
                timezone=zone if type(zone) is str and zone in available_timezones() else None,
            )


def warn_of_other_version(response: Response) -> None:
    """Logs, the first time, that the sandbox has another inference version than this server."""
    own = _own_version()
    if own is not None and response.inference != own and not _warned.is_set():
        _warned.set()
        logger.warning(
            "This server runs inference %s, the sandboxes of custom Python blocks %r: blocks may behave differently; "
            "deploy the app from the server's version of the project.",
            own,
            response.inference,
        )


@cache
def _own_version() -> str | None:
    for distribution in _DISTRIBUTIONS:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
