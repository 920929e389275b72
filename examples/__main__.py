"""Runs an example on a deployed stack and shows it: its inputs, its block, what came out. `make example NAME=…`.

Pictures among the outputs are written to `build/examples/`, beside the whole workflow as a server takes it.
"""

import json
import logging
import os
import sys
import time
import warnings
from argparse import ArgumentParser
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from examples.workflow import IN_A_SESSION, Example, NoSuchExampleError, brief, load, names
from modal_app.smoke.environment import address_variable, prepare, token_variables

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "examples"
WORKSPACE = "examples"
NO_SESSION = "there is no address of the session endpoint: `make deploy` first, then `make example NAME=…`"


class _OneWorkspace:
    """Resolves every API key to one workspace: no platform is asked."""

    def resolve_workspace(self, api_key: str | None) -> str:
        _ = api_key
        return WORKSPACE


def main(arguments: Sequence[str] | None = None) -> int:
    """Lists the examples where none is named."""
    parser = ArgumentParser("python -m examples", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", nargs="?", default="", help="which one; without it, they are listed")
    parser.add_argument("--folder", type=Path, default=BUILD, help="where pictures are written (default: %(default)s)")
    parser.add_argument("--request", type=Path, help="write the request of a server's client there, and run nothing")
    options = parser.parse_args(arguments)
    try:
        example = load(options.name)
    except NoSuchExampleError as error:
        if options.name:
            sys.stderr.write(f"{error}\n")
        width = max(map(len, names()))
        for each in names():
            print(f"  make example NAME={each:<{width}}  {load(each).summary}")
        return 2 if options.name else 0
    if options.request:
        options.request.parent.mkdir(parents=True, exist_ok=True)
        options.request.write_text(json.dumps(example.request()), "utf-8")
        return 0
    _show_input(example)
    warnings.simplefilter("ignore")  # the engine's own, about its own packages
    logging.disable(logging.WARNING)
    prepare(os.environ)
    if options.name in IN_A_SESSION and not call_the_session(os.environ):
        sys.stderr.write(f"\n{NO_SESSION}\n")
        return 1
    try:
        results, seconds = run(example)
    except Exception as error:  # noqa: BLE001 - whatever it is, its reason is what a person needs
        reason = getattr(error, "public_message", None) or f"{type(error).__name__}: {error}"
        sys.stderr.write(f"\nthe workflow failed: {reason}\n")
        return 1
    _show_output(example, results, seconds, options.folder)
    return 0


def call_the_session(environ: MutableMapping[str, str]) -> bool:
    """Makes this process a server with nothing of this project's, whose blocks share a container; False: no address."""
    address = environ.get(address_variable("session"), "")
    environ.update({name: environ.get(variable, "") for name, variable in token_variables().items()})
    environ.update(
        WORKFLOWS_PLUGINS="",
        WEBEXEC_TRANSPORT="websocket",
        MODAL_WS_ENDPOINT_URL=address,
        MODAL_WEB_ENDPOINT_URL=environ.get(address_variable("http"), ""),
    )
    return bool(address)


def run(example: Example) -> tuple[list[dict[str, Any]], float]:
    """The workflow's results, one for each image, and how long they took (s), compiling it included."""
    import inference.core  # noqa: F401, PLC0415 - first: it installs the configuration that the engine reads
    from roboflow_workflows.execution_engine.core import ExecutionEngine  # noqa: PLC0415 - reads the environment

    begin = time.monotonic()
    engine = ExecutionEngine.init(
        workflow_definition=example.definition,
        init_parameters={"workflows_core.workspace_resolver": _OneWorkspace()},
    )
    results: list[dict[str, Any]] = engine.run(runtime_parameters=example.parameters())
    return results, time.monotonic() - begin


def _show_input(example: Example) -> None:
    print(f"{example.folder.name}: {example.summary}\n\nInput")
    width = max(map(len, example.inputs))
    for name, value in example.inputs.items():
        files = example.images.get(name)
        shown = ", ".join(map(_path, files)) if files else brief(value)
        print(f"  {name:<{width}}  {shown}")
    for block, file in example.blocks.items():
        print(f"\nBlock {block}, {_path(file)}")
        print("".join(f"  {line}\n" if line else "\n" for line in file.read_text("utf-8").splitlines()), end="")


def _show_output(example: Example, results: Sequence[dict[str, Any]], seconds: float, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    print(f"\nOutput, after {seconds:.1f} s")
    for number, result in enumerate(results, start=1):
        stem = example.folder.name + (f"-{number}" if len(results) > 1 else "")
        width = max(map(len, result))
        for name, value in result.items():
            print(f"  {name:<{width}}  {_shown(value, folder / f'{stem}.png')}")
    definition = folder / f"{example.folder.name}.json"
    definition.write_text(json.dumps(example.definition, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"\n{_path(definition)} is the whole workflow, as an inference server takes it.")


def _shown(value: Any, picture: Path) -> str:
    """A value in a line; one that is a picture is written to `picture`."""
    if hasattr(value, "numpy_image"):
        cv2.imwrite(str(picture), value.numpy_image)
        return _path(picture)
    if hasattr(value, "xyxy"):
        return f"{len(value)} detections at {value.xyxy.round().astype(int).tolist()}"
    if isinstance(value, str):
        return value.replace("\n", " / ")
    return brief(value)


def _path(file: Path) -> str:
    return str(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # the engine's threads must not keep the process
