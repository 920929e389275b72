"""GitHub's workflows as the tests read and run them: jobs, their `run:` steps, and the variables that these get."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github"
EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
TARGET = re.compile(r"make ([a-z-]+)")


@dataclass(frozen=True)
class Step:
    """One step: a command with its variables, or an action."""

    content: Mapping[str, Any]

    @property
    def command(self) -> str:
        return str(self.content.get("run", ""))

    @property
    def target(self) -> str | None:
        """The make target that its command calls; None for any other command, and for an action."""
        found = TARGET.match(self.command)
        return found[1] if found else None

    def environ(self, context: Mapping[str, str]) -> dict[str, str]:
        """Its variables, for a context such as {"secrets.MODAL_TOKEN_ID": …}; what isn't set is empty, as on GitHub."""
        return {
            name: EXPRESSION.sub(lambda found: context.get(found[1], ""), str(value))
            for name, value in self.content.get("env", {}).items()
        }


@dataclass(frozen=True)
class Job:
    """One job of a workflow."""

    workflow: str
    name: str
    content: Mapping[str, Any]

    @property
    def steps(self) -> list[Step]:
        return [Step(step) for step in self.content.get("steps", [])]

    @property
    def needs(self) -> list[str]:
        needs = self.content.get("needs", [])
        return [needs] if isinstance(needs, str) else list(needs)

    def __str__(self) -> str:
        return f"{self.workflow}: {self.name}"


def load(path: Path) -> dict[str, Any]:
    """A workflow or an action. YAML 1.1 reads the key `on` as true."""
    content: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in content.items()}


def workflows() -> dict[str, dict[str, Any]]:
    """All of them, by the name of their file without its ending."""
    return {path.stem: load(path) for path in sorted((FOLDER / "workflows").glob("*.yml"))}


def jobs() -> Iterator[Job]:
    """The jobs of all workflows."""
    for workflow, content in workflows().items():
        for name, job in content["jobs"].items():
            yield Job(workflow, name, job)


def job(workflow: str, name: str) -> Job:
    """One of them."""
    return Job(workflow, name, workflows()[workflow]["jobs"][name])
