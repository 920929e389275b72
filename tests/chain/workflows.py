"""Workflow definitions with custom Python blocks, for the tests."""

import textwrap
from typing import Any


def block(
    name: str,
    code: str,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = ("value",),
    *,
    manifest: dict[str, Any] | None = None,
    **python: Any,
) -> dict[str, Any]:
    """A custom block that takes anything; `python` are further fields of its code, such as `init_function_code`."""
    return {
        "type": "DynamicBlockDefinition",
        "manifest": {
            "type": "ManifestDescription",
            "block_type": name,
            "inputs": {
                key: {
                    "type": "DynamicInputDefinition",
                    "selector_types": ["input_image", "step_output_image", "input_parameter", "step_output"],
                }
                for key in inputs
            },
            "outputs": {key: {"type": "DynamicOutputDefinition", "kind": []} for key in outputs},
            **(manifest or {}),
        },
        "code": {"type": "PythonCode", "run_function_code": textwrap.dedent(code), **python},
    }


def workflow(
    blocks: list[dict[str, Any]],
    steps: list[dict[str, Any]],
    outputs: dict[str, str],
    inputs: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A definition; `inputs` maps names to types of inputs, `outputs` names to selectors below `$steps`."""
    return {
        "version": "1.0",
        "inputs": [{"type": kind, "name": name} for name, kind in (inputs or {}).items()],
        "dynamic_blocks_definitions": blocks,
        "steps": steps,
        "outputs": [
            {"type": "JsonField", "name": name, "selector": f"$steps.{selector}"} for name, selector in outputs.items()
        ],
    }


def single(
    code: str, inputs: dict[str, str] | None = None, outputs: tuple[str, ...] = ("value",), **more: Any
) -> dict[str, Any]:
    """One step, `step`, of one block, `Block`; it gets every input and its outputs are the workflow's."""
    names = tuple(inputs or {})
    return workflow(
        [block("Block", code, names, outputs, **more)],
        [{"type": "Block", "name": "step", **{name: f"$inputs.{name}" for name in names}}],
        {name: f"step.{name}" for name in outputs},
        inputs,
    )


PARAMETER, IMAGE = "WorkflowParameter", "WorkflowImage"
