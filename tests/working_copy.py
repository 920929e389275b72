"""A working copy of this repository that is set up, for tests of what a person types there and of what it writes."""

import shutil
import sys
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
PROJECT = "inference-custom-blocks"
LEFT_OUT = (".venv", ".git", "build", ".*_cache", "__pycache__", ".hypothesis", "*.egg-info", "*.env")


def working_copy(folder: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Makes one: the tree as it is, `without` some names of its top, and an environment of the packages here."""
    tree = folder / "tree"

    def left_out(of: str, names: list[str]) -> set[str]:
        top = without if Path(of) == ROOT else ()
        return shutil.ignore_patterns(*LEFT_OUT, *top)(of, names)

    shutil.copytree(ROOT, tree, ignore=left_out)
    environment = tree / ".venv"
    environment.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != ".ready":
            (environment / path.name).symlink_to(path)
    (environment / ".ready").touch()
    return tree


def configure(tree: Path, stack: str, **keys: Any) -> None:
    """Sets keys in a stack's file."""
    path = tree / f"Pulumi.{stack}.yaml"
    content = yaml.safe_load(path.read_text())
    content.setdefault("config", {}).update({f"{PROJECT}:{name}": value for name, value in keys.items()})
    path.write_text(yaml.safe_dump(content))
