"""The client's side of the doors' measurements: one process calls every door in turn, round by round.

`python -m benchmarks.door_client` takes JSON on its standard input (`Doors`), and prints JSON: for each case and door
its times (ms). The native door is this repository's executor; the others, and the stub, are the released client's own.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from benchmarks import door_blocks
from benchmarks.scale import PAUSE_SECONDS
from modal_app.smoke import server

WORKSPACE = "benchmark"
DOORS = ("stub", "session", "websocket", "http", "native")
WARM_UP = 3
Call = Callable[[str, dict[str, Any]], Any]


def released(door: str, url: str, token: dict[str, str]) -> Call:
    """The released client, set up for one door by its own variables."""
    # Imported late: the engine takes its configuration from what `modal_app.smoke.server` imports first.
    from roboflow_workflows.execution_engine.v1.dynamic_blocks import modal_executor  # noqa: PLC0415
    from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode  # noqa: PLC0415

    modal_executor.MODAL_AVAILABLE = True
    modal_executor.MODAL_TOKEN_ID, modal_executor.MODAL_TOKEN_SECRET = token["id"], token["secret"]
    os.environ["MODAL_WEB_ENDPOINT_URL"] = os.environ["MODAL_WS_ENDPOINT_URL"] = url
    over = modal_executor.ModalExecutor if door == "http" else modal_executor.PooledWebSocketModalExecutor
    executor = over(WORKSPACE)

    def call(source: str, inputs: dict[str, Any]) -> Any:
        code = PythonCode(type="PythonCode", run_function_code=source, imports=[])
        return executor.execute_remote("Benchmark", code, inputs, WORKSPACE)

    call(door_blocks.TINY, {"number": 0})  # it reads its address when it is first used
    return call


def native(source: str, inputs: dict[str, Any]) -> Any:
    """This repository's executor, as the plug-in puts it in."""
    return server.run_block(source, WORKSPACE, **inputs)


def picture() -> Any:
    """A photograph's worth of detail, of 1920x1080."""
    from roboflow_workflows.execution_engine.entities.base import (  # noqa: PLC0415 - as above
        ImageParentMetadata,
        WorkflowImageData,
    )

    noise = np.random.default_rng(1).integers(0, 256, (135, 240, 3), dtype=np.uint8)
    pixels = cv2.resize(noise, (1920, 1080), interpolation=cv2.INTER_CUBIC)
    return WorkflowImageData(ImageParentMetadata(parent_id="benchmark"), numpy_image=pixels)


def right(case: str, answer: Any) -> bool:
    """Whether a block's answer is what it must be."""
    match case:
        case "tiny":
            return bool(answer == {"number": 2})
        case "in":
            return bool(answer == {"shape": list(door_blocks.SHAPE)})
    return bool(answer["image"].numpy_image.shape == door_blocks.SHAPE)


def measure(calls: dict[str, Call], rounds: dict[str, int]) -> dict[str, dict[str, list[float]]]:
    """Every door once a round, so that what else the machine does touches all alike.

    Raises:
        RuntimeError: a wrong answer.
    """
    times: dict[str, dict[str, list[float]]] = {case: {door: [] for door in calls} for case in rounds}
    for case, count in rounds.items():
        source = {"tiny": door_blocks.TINY, "in": door_blocks.SEE, "in and out": door_blocks.RETURN}[case]
        for number in range(WARM_UP + count):
            for door, call in calls.items():
                inputs = {"number": 1} if case == "tiny" else {"image": picture(), "back": case != "in"}
                time.sleep(PAUSE_SECONDS)
                begin = time.perf_counter()
                answer = call(source, inputs)
                milliseconds = 1000 * (time.perf_counter() - begin)
                if not right(case, answer):
                    raise RuntimeError(f"{door} gave a wrong answer: {str(answer)[:200]}")
                if number >= WARM_UP:
                    times[case][door].append(milliseconds)
    return times


def main() -> None:
    """Measures, and prints."""
    given = json.load(sys.stdin)
    calls = {door: released(door, url, given["token"]) for door, url in given["addresses"].items()}
    calls["native"] = native
    times = measure({door: calls[door] for door in DOORS if door in calls}, given["rounds"])
    sys.stdout.write("\n" + json.dumps(times) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
    os._exit(0)  # the client's own threads must not keep the process
