"""No executor that could do more than run a block: every class and function of the app, as its source declares them.

One class is trusted, and excepted by its name: see `TRUSTED`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from pulumi_policy import ReportViolation, ResourceValidationArgs, ResourceValidationPolicy

from infra.app_facts import ROOT

SOURCE = ROOT / "modal_app" / "app.py"
DEMANDED = ("restrict_modal_access", "single_use_containers", "_experimental_restrict_output")
"""Modal's own switches: no access to Modal from inside, one input for one container, answers that are data."""

TRUSTED = {"Gateway": "calls executors, runs no user code, and serves many requests that share nothing"}
"""Classes that may reach Modal, each with why. They hold no block, so that no block is given what they have."""
FORBIDDEN_TO_TRUSTED = ("secrets",)


def unrestricted(source: str) -> Iterator[str]:
    """What a module declares for Modal without one of the switches, each as a sentence."""
    found = False
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in node.decorator_list:
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            if call.func.attr not in {"cls", "function"}:
                continue
            found = True
            if node.name in TRUSTED:
                yield from (
                    f"{node.name} is trusted, and declared with {word.arg}"
                    for word in call.keywords
                    if word.arg in FORBIDDEN_TO_TRUSTED
                )
                continue
            on = {
                word.arg for word in call.keywords if isinstance(word.value, ast.Constant) and word.value.value is True
            }
            for switch in DEMANDED:
                if switch not in on:
                    yield f"{node.name} is declared without {switch}=True"
    if not found:
        yield "no class or function is declared for Modal"


def _validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type == "modal:index:App":
        for sentence in unrestricted(Path(SOURCE).read_text("utf-8")):
            report(f"{SOURCE.relative_to(ROOT)}: {sentence}", None)


RESTRICTED = ResourceValidationPolicy(
    "no-unrestricted-executor", "Executors can do nothing but run a block.", _validate
)
