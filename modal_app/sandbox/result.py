"""What a run function returned, as the engine takes it: dicts, or lists of them, whatever their classes."""

from inspect import isasyncgen, iscoroutine, isgenerator
from typing import Any

REFUSED = 0
"""Goes in the place of what the engine refuses, so that the block's author reads what the engine says about it."""


def as_engine_takes(result: Any) -> Any:
    """`result` with its outputs in plain dicts and lists; values of outputs stay what they are.

    A coroutine or generator, which only a local engine could hold, is refused there whatever it would give.
    """
    if isinstance(result, dict):
        return dict(result)
    if isinstance(result, list):
        return [as_engine_takes(item) for item in result]
    return REFUSED if iscoroutine(result) or isgenerator(result) or isasyncgen(result) else result
