"""The client's side of the measurements, in a process of its own: an inference server's executor, called in a loop.

`python -m benchmarks.client MEASUREMENT` prints JSON; the environment says which control plane.
"""

import base64
import contextlib
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from benchmarks.scale import (
    IMAGE_CALLS,
    JPEG_QUALITY,
    LATENCY_CALLS,
    PAUSE_SECONDS,
    THREADS,
    THROUGHPUT_CALLS,
    UNSHARED_WORKSPACES,
    WORKSPACES,
)
from modal_app.smoke import server

TRIVIAL = "def run(self, number):\n    return {'number': number + 1}\n"
SEE_ARRAY = "def run(self, image):\n    return {'shape': list(image.shape)}\n"
SEE_RAW = """
def run(self, image):
    sent = json.loads(image)
    pixels = np.frombuffer(base64.b64decode(sent["value"]), dtype=sent["dtype"]).reshape(sent["shape"])
    return {"shape": list(pixels.shape)}
"""
SEE_JPEG = """
def run(self, image):
    data = np.frombuffer(base64.b64decode(json.loads(image)["value"]), dtype=np.uint8)
    return {"shape": list(cv2.imdecode(data, cv2.IMREAD_COLOR).shape)}
"""


def timed(action: Callable[..., object], *arguments: object) -> float:
    """How long it takes (ms)."""
    begin = time.perf_counter()
    action(*arguments)
    return 1000 * (time.perf_counter() - begin)


def call(number: int, workspaces: int = WORKSPACES) -> None:
    """One call of a trivial block, by one of the workspaces in turn."""
    answer = server.run_block(TRIVIAL, f"workspace-{number % workspaces}", number=number)
    if answer != {"number": number + 1}:
        raise RuntimeError(f"a wrong answer: {answer}")


def first_calls(workspaces: int = WORKSPACES) -> list[float]:
    """The first call of each workspace; the first of all takes the snapshot."""
    times = []
    for number in range(workspaces):
        times.append(timed(call, number))
        time.sleep(PAUSE_SECONDS)
    return times


def latency() -> list[float]:
    """Single calls, of all workspaces in turn."""
    times = []
    for number in range(LATENCY_CALLS):
        time.sleep(PAUSE_SECONDS)
        times.append(timed(call, number))
    return times


def throughput() -> dict[str, float]:
    """Calls from several threads at once, of all workspaces: calls a second, and how many failed."""

    def attempt(number: int) -> bool:
        with contextlib.suppress(Exception):
            call(number)
            return True
        return False

    begin = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        succeeded = sum(pool.map(attempt, range(THROUGHPUT_CALLS)))
    seconds = time.perf_counter() - begin
    return {"per_second": succeeded / seconds, "failures": THROUGHPUT_CALLS - succeeded, "calls": THROUGHPUT_CALLS}


def input_paths() -> dict[str, list[float]]:
    """A 1080p image into a block: as it is, and as text, which is how the released server's own executor sends it."""
    noise = np.random.default_rng(1).integers(0, 256, (135, 240, 3), dtype=np.uint8)
    image = cv2.resize(noise, (1920, 1080), interpolation=cv2.INTER_CUBIC)

    def raw() -> str:
        value = base64.b64encode(image.tobytes()).decode()
        return json.dumps({"value": value, "dtype": str(image.dtype), "shape": image.shape})

    def jpeg() -> str:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return json.dumps({"value": base64.b64encode(data.tobytes()).decode()})

    ways: dict[str, tuple[str, Callable[[], Any]]] = {
        "as it is": (SEE_ARRAY, lambda: image),
        "base64 in JSON": (SEE_RAW, raw),
        "JPEG, base64 in JSON (lossy)": (SEE_JPEG, jpeg),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(IMAGE_CALLS):
        for name, (source, prepare) in ways.items():
            time.sleep(PAUSE_SECONDS)
            times[name].append(timed(_see, source, prepare, number))
    return times


def _see(source: str, prepare: Callable[[], Any], number: int) -> None:
    workspace = f"workspace-{number % WORKSPACES}"
    answer = server.run_block(source, workspace, ["import base64"], image=prepare())
    if answer["shape"] != [1080, 1920, 3]:
        raise RuntimeError(f"a wrong answer: {answer}")


def result_image() -> list[float]:
    """A 1080p image of a result to the bytes that a container sends, and back (ms of processor time)."""
    # Imported late: the engine takes its configuration from what `modal_app.smoke.server` imports first.
    from benchmarks.encoding import milliseconds  # noqa: PLC0415

    return milliseconds(IMAGE_CALLS)


MEASUREMENTS: dict[str, Callable[[], Any]] = {
    "first_calls": first_calls,
    "unshared_first_calls": lambda: first_calls(UNSHARED_WORKSPACES),
    "latency": latency,
    "throughput": throughput,
    "input_paths": input_paths,
    "result_image": result_image,
}

if __name__ == "__main__":
    print(json.dumps({name: MEASUREMENTS[name]() for name in sys.argv[1:]}))
