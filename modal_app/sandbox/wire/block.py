"""A block by the wire's rules: its code's namespace is a module named "__main__", and `self` is for its place only.

The engine makes the namespace, with the same prelude as local execution and the wire's one import more.
"""

import inspect
from typing import Any

from roboflow_workflows.execution_engine.v1.dynamic_blocks.block_scaffolding import (
    _execution_id_ctxvar,
    create_dynamic_module,
)
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

WIRE_IMPORT = "from datetime import datetime"
CONTEXT_FIELDS = ("step_name", "step_selector", "block_type", "workflow_execution_id")


def wire_code(source: str, imports: list[str], function: str) -> PythonCode:
    """The block's code as the engine has it."""
    return PythonCode(
        type="PythonCode", run_function_code=source, run_function_name=function, imports=[WIRE_IMPORT, *imports]
    )


class Place:
    """What a run function gets as `self`."""

    def __init__(self) -> None:
        self._context: dict[str, Any] = {}

    def get_workflow_context(self) -> dict[str, Any]:
        """Where in a workflow the block stands."""
        return {name: self._context.get(name) for name in CONTEXT_FIELDS}


class WireBlock:
    """Code that has been loaded: its top level has run."""

    def __init__(self, code: PythonCode, block_type: str) -> None:
        """Runs the code's top level, imports included.

        Raises:
            DynamicBlockCodeError: it doesn't compile, or raises; `inner_error` is what it raised.
        """
        self.module = create_dynamic_module(block_type_name=block_type, python_code=code, module_name="__main__")
        self.place = Place()

    def run(self, function_name: str, context: dict[str, Any], inputs: dict[str, Any]) -> Any:
        """Calls the function, with `self` if its first parameter is named so.

        Raises:
            NameError: there is none.
        """
        function = getattr(self.module, function_name, None)
        if not callable(function):
            raise NameError(f"function {function_name!r} is not defined in the block's code")  # noqa: TRY004 - the wire's
        self.place._context = context
        _execution_id_ctxvar.set(context.get("workflow_execution_id"))
        return function(self.place, **inputs) if _takes_self(function) else function(**inputs)


def _takes_self(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return next(iter(parameters), None) == "self"
