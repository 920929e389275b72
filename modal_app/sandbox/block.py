"""Makes a block out of code, by the engine's own local execution: same prelude, same namespace, same `self`.

The engine compiles the prelude, the block's imports, the code of its run function and that of its init function as one
text, and runs that as a module; the name of its frames in a traceback is "<string>". Lines are counted as local
execution counts them: from the first line of the run function's code, with the init function's following on.
"""

from contextlib import suppress
from typing import Any

from roboflow_workflows.execution_engine.v1.dynamic_blocks.block_scaffolding import (
    _execution_id_ctxvar,
    _get_python_code_imports,
    assembly_custom_python_block,
)
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode
from roboflow_workflows.prototypes.block import WorkflowBlock, WorkflowBlockManifest

from modal_app.contract.request import whole_code

SOURCE_FILE = "<string>"


def load_block(code: PythonCode, block_type: str) -> type[WorkflowBlock]:
    """The block's class; runs the code at its top level, imports included, and none of its functions.

    Raises:
        DynamicBlockCodeError: the code doesn't compile or its top level raises; `inner_error` is what it raised.
        DynamicBlockError: a function that the block names isn't in the code.
    """
    block_class: type[WorkflowBlock] = assembly_custom_python_block(
        block_type_name=block_type, unique_identifier="sandbox", manifest=WorkflowBlockManifest, python_code=code
    )
    return block_class


def place_in_workflow(block: WorkflowBlock, context: dict[str, Any]) -> None:
    """Tells the block where it stands, as the engine's compiler and executor do: see `get_workflow_context()`."""
    block._workflow_step_name = context.get("step_name")
    block._workflow_step_selector = context.get("step_selector")
    with suppress(KeyError):
        block._workflow_step_type = context["block_type"]
    _execution_id_ctxvar.set(context.get("workflow_execution_id"))


def lines_before_code(code: PythonCode) -> int:
    """Lines of the prelude and the block's imports: what a line number in the module exceeds one in the code by."""
    return len(_get_python_code_imports(code).splitlines())


def code_lines(code: PythonCode) -> int:
    """Lines of the block's own code."""
    return len(whole_code(code).splitlines())
