"""Compares what became of one workflow in two servers, aspect by aspect."""

import math
from typing import Any

import numpy as np
from roboflow_workflows.execution_engine.entities.base import Batch, WorkflowImageData

from tests.chain.behaviours.row import Aspect
from tests.chain.server import Run
from tests.chain.test_values import same

Outcome = dict[Aspect, Any]

ENDED: Outcome = {"outcome": "no server"}
"""The server's process ended."""


def outcome(run: Run) -> Outcome:
    """What is compared of a run."""
    found: Outcome = {
        "debug output": run.streams,
        "debug traces": [trace.get("value") for trace in run.traces],
        "shown": run.printed,
    }
    if run.failure is None:
        return {"outcome": "result", "result": run.results, **found}
    error = run.failure
    return {
        "outcome": "error",
        "error class": error.kind,
        "context": error.context,
        "message": error.message,
        "line": error.line,
        "snippet": error.snippet,
        "traceback": error.traceback,
        "stdout": error.stdout,
        "stderr": error.stderr,
        **found,
    }


def differences(local: Outcome, remote: Outcome) -> dict[Aspect, tuple[Any, Any]]:
    """Each aspect in which they differ, with both values; where the outcomes do, nothing else is comparable."""
    if local["outcome"] != remote["outcome"]:
        return {"outcome": (local, remote)}
    return {aspect: (local[aspect], remote[aspect]) for aspect in local if not equal(local[aspect], remote[aspect])}


def equal(left: Any, right: Any) -> bool:
    """Equal in type and value, all the way down; images by their pixels and where they come from.

    The property `video_metadata` of an image without any makes some up, with the time of asking.
    """
    if type(left) is not type(right):
        return False
    if isinstance(left, WorkflowImageData):
        names = ("numpy_image", "parent_metadata", "workflow_root_ancestor_metadata", "_video_metadata")
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    if isinstance(left, Batch):
        return equal([left.indices, *left], [right.indices, *right])
    if isinstance(left, dict):
        return equal(list(left.items()), list(right.items()))
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return same(left, right) or (isinstance(left, float | np.floating) and math.isnan(left) and math.isnan(right))
