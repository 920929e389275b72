"""Reads an example's folder: `workflow.json`, the files that its blocks' code is in, `inputs.json`, its pictures.

Two texts name a file of the folder: code in the workflow that begins with `file:`, and the value of an image input.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

FOLDER = Path(__file__).parent
CODE_FIELDS = ("run_function_code", "init_function_code")
FROM_FILE = "file:"
IN_A_SESSION = frozenset({"tracked_video"})
"""Examples whose blocks keep state from picture to picture, for which they need the session's transport."""
SHOWN = 6
"""Of a longer list of objects, as many are shown."""


class NoSuchExampleError(LookupError):
    """There is no folder of that name with a workflow in it."""


@dataclass(frozen=True)
class Example:
    """One folder, read."""

    folder: Path
    definition: dict[str, Any]
    """The workflow as the engine takes it, code included."""
    inputs: dict[str, Any]
    """As they stand in `inputs.json`."""
    blocks: dict[str, Path]
    """Type of a custom block to the file of its code."""

    @property
    def summary(self) -> str:
        """The first line of the first block's file."""
        return next(iter(self.blocks.values())).read_text("utf-8").splitlines()[0].strip('"')

    @property
    def images(self) -> dict[str, list[Path]]:
        """Name of an image input to the files of its pictures."""
        names = [each["name"] for each in self.definition["inputs"] if each["type"] == "WorkflowImage"]
        given = {name: self.inputs[name] for name in names}
        return {
            name: [self.folder / file for file in ([value] if isinstance(value, str) else value)]
            for name, value in given.items()
        }

    def parameters(self) -> dict[str, Any]:
        """What `ExecutionEngine.run` takes: pictures are read, each (height, width, 3), BGR, 8 bits."""
        return self.inputs | {name: [_picture(file) for file in files] for name, files in self.images.items()}

    def request(self) -> dict[str, Any]:
        """The body of a server's `POST /workflows/run`, without an API key; of pictures the files, in base64."""
        encoded = {name: [_encoded(file) for file in files] for name, files in self.images.items()}
        given = {name: all_of if isinstance(self.inputs[name], list) else all_of[0] for name, all_of in encoded.items()}
        return {"api_key": None, "specification": self.definition, "inputs": {**self.inputs, **given}}


def names() -> list[str]:
    """Every example there is."""
    return sorted(path.parent.name for path in FOLDER.glob("*/workflow.json"))


def load(name: str) -> Example:
    """The example in the folder `name`.

    Raises:
        NoSuchExampleError: there is none.
    """
    if name not in names():
        raise NoSuchExampleError(f"there is no example {name!r}; there are {', '.join(names())}")
    folder = FOLDER / name
    definition = json.loads((folder / "workflow.json").read_text("utf-8"))
    blocks: dict[str, Path] = {}
    for block in definition["dynamic_blocks_definitions"]:
        for file in _put_code(block["code"], folder):
            blocks.setdefault(block["manifest"]["block_type"], file)
    return Example(folder, definition, json.loads((folder / "inputs.json").read_text("utf-8")), blocks)


def _put_code(code: dict[str, Any], folder: Path) -> list[Path]:
    """Replaces the names of files in `code` by what stands in them; gives the files."""
    files = []
    for field in CODE_FIELDS:
        if str(code.get(field, "")).startswith(FROM_FILE):
            files.append(folder / code[field].removeprefix(FROM_FILE))
            code[field] = files[-1].read_text("utf-8")
    return files


def _picture(file: Path) -> Any:
    picture = cv2.imread(str(file))
    if picture is None:
        raise FileNotFoundError(f"{file} is no picture that can be read")
    return picture


def _encoded(file: Path) -> dict[str, str]:
    return {"type": "base64", "value": base64.b64encode(file.read_bytes()).decode()}


def brief(value: Any) -> str:
    """A value in a line: detections by their number and classes, the start of a long list, anything else as JSON."""
    if isinstance(value, Mapping) and "predictions" in value:
        classes = [str(each["class"]) for each in value["predictions"]]
        return f"{len(classes)} detections: {', '.join(dict.fromkeys(classes))}"
    if isinstance(value, list) and value and all(isinstance(each, Mapping) and "predictions" in each for each in value):
        return "; ".join(map(brief, value))
    if isinstance(value, list) and len(value) > SHOWN and any(isinstance(each, Mapping) for each in value):
        return f"{json.dumps(value[:SHOWN], ensure_ascii=False)[:-1]}, … {len(value)} in all]"
    return json.dumps(value, ensure_ascii=False)
