"""Shows what a block printed and traced in its container where local execution shows it, and whose version it had."""

import logging
import sys
import threading
from zoneinfo import available_timezones

from prometheus_client import Counter
from roboflow_workflows.errors import DynamicBlockError
from roboflow_workflows.execution_engine.v1.dynamic_blocks.debug_logs import get_active_collector
from roboflow_workflows.execution_engine.v1.dynamic_blocks.workflow_debug import get_active_debug_trace

from modal_app.contract.response import Response
from modal_app.contract.text import visible
from modal_app.installed import INFERENCE_VERSION, UNKNOWN
from modal_app.server import configuration

logger = logging.getLogger(__name__)

_warned = threading.Event()
_other_version = Counter(
    "custom_blocks_other_inference_version",
    "Answers of sandboxes whose inference is of another version than this server's, refused or not.",
)
"""In the server's own /metrics, with the suffix `_total`."""


def show(response: Response, step_name: str) -> None:
    """Writes to this process's stdout and stderr, and to the debug record of the workflow's run, if it has one.

    An entry of `debug_traces` that asked for a timestamp gets that of its arrival.
    """
    for stream, text in ((sys.stdout, response.printed.stdout), (sys.stderr, response.printed.stderr)):
        if text:
            stream.write(visible(text))
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


def check_version(response: Response) -> None:
    """Compares the sandbox's inference version with this server's; another one is counted, and logged the first time.

    Raises:
        DynamicBlockError: it is another one, and the server is set to be strict.
    """
    if response.inference == INFERENCE_VERSION:
        return
    _other_version.inc()
    found = (
        f"This server runs inference {INFERENCE_VERSION}, the sandboxes of custom Python blocks {response.inference!r}"
    )
    deploy = "deploy the app from the server's version of the project"
    if configuration.SERVER.strict_version:
        raise DynamicBlockError(
            public_message=f"{found}: {deploy}, or allow the difference with CUSTOM_BLOCKS_STRICT_VERSION=false.",
            context="modal_executor | inference_version",
        )
    if INFERENCE_VERSION != UNKNOWN and not _warned.is_set():
        _warned.set()
        logger.warning("%s: blocks may behave differently; %s.", found, deploy)
