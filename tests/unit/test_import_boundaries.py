"""Dependencies point one way: see the README's "What is where"."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = {"inference", "inference_models", "inference_sdk", "roboflow_workflows"}
FORBIDDEN = {
    "infra": {"modal_app", "local_modal"} | ENGINE,
    "modal_app": {"infra", "local_modal"},
    "local_modal": {"infra", "modal_app"} | ENGINE,
}
"""What no module of a package may import, at any depth of its code."""


def violations(root: Path) -> list[str]:
    """Every forbidden import under `root`, as `file:line imports name`."""
    found = []
    for package, forbidden in FORBIDDEN.items():
        for path in sorted((root / package).rglob("*.py")):
            for line, name in imports(ast.parse(path.read_text("utf-8"), str(path))):
                if name.split(".")[0] in forbidden:
                    found.append(f"{path.relative_to(root)}:{line} imports {name}")
    return found


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Absolute module names that a source imports, by statement or by a call with a literal name."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from ((node.lineno, alias.name) for alias in aliases)
            case ast.ImportFrom(module=str(module), level=0):
                yield node.lineno, module
            case ast.Call(
                func=ast.Name(id=function) | ast.Attribute(attr=function), args=[ast.Constant(str(name)), *_]
            ):
                if function in {"import_module", "__import__", "run_module"}:
                    yield node.lineno, name


def test_the_packages_of_this_repository_do_not_import_one_another() -> None:
    assert violations(ROOT) == []


def test_the_packages_to_check_are_there() -> None:
    assert list((ROOT / "modal_app").rglob("*.py"))
    assert list((ROOT / "local_modal").rglob("*.py"))


@pytest.mark.parametrize("package", FORBIDDEN)
@pytest.mark.parametrize(
    "statement",
    [
        "import {name}",
        "import os, {name}.settings as settings",
        "from {name} import settings",
        "from {name}.settings import *",
        "def late() -> None:\n    import {name}.app",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {name}",
        "import importlib\nimportlib.import_module('{name}.app')",
        "__import__('{name}')",
        "import runpy\nrunpy.run_module('{name}.app')",
    ],
)
def test_every_way_of_importing_a_forbidden_package_is_found(tmp_path: Path, package: str, statement: str) -> None:
    module = tmp_path / package / "deep" / "module.py"
    module.parent.mkdir(parents=True)
    for name in FORBIDDEN[package]:
        source = statement.format(name=name)
        module.write_text(source)
        line = 1 + source[: source.index(name)].count("\n")
        assert [found.split(" imports ")[0] for found in violations(tmp_path)] == [f"{package}/deep/module.py:{line}"]


def test_what_a_package_may_import_is_left_alone(tmp_path: Path) -> None:
    module = tmp_path / "local_modal" / "module.py"
    module.parent.mkdir()
    module.write_text(
        "import modal\nfrom modal_proto import api_pb2\nfrom local_modal import ids\nfrom . import infra\n"
    )
    assert violations(tmp_path) == []
