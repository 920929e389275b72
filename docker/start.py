"""Starts the released inference server: `python -m start` serves, `python -m start --healthy` asks whether it is well.

The released package has the server as a class and leaves its start to whoever packages it. What is done here: making
the folders that the server serves its landing page from, saying which device models run on, importing the plug-ins, so
that one that can't work ends the start, and serving. Everything else is one of the server's own environment variables;
HOST (0.0.0.0), PORT (9001) and NUM_WORKERS (1) are those of Roboflow's images.
"""

# ruff: noqa: PLC0415 - importing the server takes half a minute, and asking for its health must not

import importlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LANDING = ("inference/landing/out/static", "inference/landing/out/_next/static")
"""Folders below the working directory that the server mounts; the released package doesn't bring them."""
ANSWER_SECONDS = 4
PROVIDERS = "ONNXRUNTIME_EXECUTION_PROVIDERS"
GPU_DEVICE = "/dev/nvidiactl"
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class StartError(Exception):
    """The server can't start; the message says what to change."""


def main(arguments: Sequence[str]) -> int:
    """Exit status, once the server ends."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # until it serves: process 1 has no handler by itself
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    try:
        port = number("PORT", 9001)
        if list(arguments) == ["--healthy"]:
            return healthy(port)
        serve(arguments, port, number("NUM_WORKERS", 1))
    except StartError as error:
        say(str(error))
        return 1
    return 0


def serve(arguments: Sequence[str], port: int, workers: int) -> None:
    """Serves until it is told to end."""
    if arguments:
        raise StartError(f"there is no argument {' '.join(arguments)}; settings are environment variables")
    enter_folder()
    say(choose_device())
    load_plugins()
    import uvicorn

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server's to take from here on
    host = os.environ.get("HOST", "0.0.0.0")  # noqa: S104 - a container's own network
    with streams():
        uvicorn.run("start:application", factory=True, host=host, port=port, workers=workers)


def say(line: str) -> None:
    """One line of the container's log."""
    sys.stderr.write(f"start: {line}\n")
    sys.stderr.flush()


def number(variable: str, default: int) -> int:
    """A setting that is a positive number."""
    text = os.environ.get(variable, str(default))
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise StartError(f"{variable}={text!r} must be a positive number")
    return int(text)


def healthy(port: int) -> int:
    """0 when the server says that it is; else the reason on stdout, and 1."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=ANSWER_SECONDS) as answer:
            said = json.load(answer).get("status")
    except (OSError, ValueError, AttributeError) as error:
        said = str(error)
    sys.stdout.write(f"{said}\n")
    return 0 if said == "healthy" else 1


def enter_folder() -> None:
    """Makes a working directory of the server's own, with the folders that it mounts."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="server-"))
    except OSError as error:
        raise StartError(f"no folder can be written to, /tmp neither ({error.strerror}): mount a tmpfs there") from None
    for name in LANDING:
        (folder / name).mkdir(parents=True)
    os.chdir(folder)


def choose_device() -> str:
    """What models run on, in a sentence; where a GPU build finds no GPU, ONNX Runtime is told to use the CPU."""
    torch: Any = importlib.import_module("torch")  # first: it brings the CUDA that ONNX Runtime then finds
    runtime: Any = importlib.import_module("onnxruntime")
    if CUDA not in runtime.get_available_providers():
        return "models run on the CPU"
    if torch.cuda.is_available():
        runtime.preload_dlls()
        return f"models run on the GPU, {torch.cuda.get_device_name(0)}"
    os.environ.setdefault(PROVIDERS, f"[{CPU}]")
    return (
        f"no GPU answers, so models fall back to the CPU ({PROVIDERS}={os.environ[PROVIDERS]}); with a GPU, the "
        "container needs NVIDIA's container toolkit and --gpus all"
    )


def load_plugins() -> None:
    """Imports what WORKFLOWS_PLUGINS names, as the engine would at the first workflow."""
    import inference.core  # noqa: F401 - first: it installs the configuration that the engine reads

    for name in filter(None, map(str.strip, os.environ.get("WORKFLOWS_PLUGINS", "").split(","))):
        try:
            importlib.import_module(name)
        except Exception as error:  # a plug-in may raise anything, and its message is for the operator
            raise StartError(f"plug-in {name}: {getattr(error, 'public_message', error)}") from error


@contextmanager
def streams() -> Iterator[None]:
    """Keeps the process that manages video streams, where ENABLE_STREAM_API asks for it."""
    from inference.core.env import ENABLE_STREAM_API

    if not ENABLE_STREAM_API:
        yield
        return
    # A fork has everything imported; where there is a GPU, CUDA doesn't survive one.
    context: Any = multiprocessing.get_context("spawn" if Path(GPU_DEVICE).exists() else "fork")
    manager = context.Process(target=manage_streams)
    manager.start()
    try:
        yield
    finally:
        manager.terminate()
        manager.join()


def manage_streams() -> None:
    """What that process does, until it is told to end."""
    import inference.core  # noqa: F401 - first: it says how a pipeline is made
    from inference.core.env import STREAM_API_PRELOADED_PROCESSES
    from inference.core.interfaces.stream_manager.manager_app.app import start

    start(expected_warmed_up_pipelines=STREAM_API_PRELOADED_PROCESSES)


def application() -> Any:
    """The server, as an ASGI application."""
    from inference.core.cache import cache
    from inference.core.env import ACTIVE_LEARNING_ENABLED, MAX_ACTIVE_MODELS
    from inference.core.interfaces.http.http_api import HttpInterface
    from inference.core.managers.active_learning import BackgroundTaskActiveLearningManager
    from inference.core.managers.base import ModelManager
    from inference.core.managers.decorators.fixed_size_cache import WithFixedSizeCache
    from inference.core.registries.roboflow import RoboflowModelRegistry
    from inference.models.utils import ROBOFLOW_MODEL_TYPES

    logging.getLogger("uvicorn.access").addFilter(lambda record: "/healthz" not in record.getMessage())
    registry = RoboflowModelRegistry(ROBOFLOW_MODEL_TYPES)
    if ACTIVE_LEARNING_ENABLED:
        models = BackgroundTaskActiveLearningManager(model_registry=registry, cache=cache)
    else:
        models = ModelManager(model_registry=registry)
    models = WithFixedSizeCache(models, max_size=MAX_ACTIVE_MODELS)
    models.init_pingback()
    return HttpInterface(models).app


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
