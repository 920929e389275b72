"""A released server's own client, with nothing of this project in its process but this: what it gets from each door.

`python -m modal_app.smoke.released` takes the variables of such a server and the smoke test's own with the addresses,
and prints a line of JSON for each door, in this order: {"door", and "detail" or "error"}.
"""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import inference.core  # noqa: F401 - first: it installs the configuration that the engine reads
import numpy as np
import requests
import websocket
from roboflow_workflows.errors import WorkflowError
from roboflow_workflows.execution_engine.entities.base import ImageParentMetadata, WorkflowImageData
from roboflow_workflows.execution_engine.v1.dynamic_blocks import modal_executor
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.smoke.environment import address_variable
from modal_app.smoke.runner import CheckFailedError

WORKSPACE = "smoke"
CODE = """
numbers = []

def run(self, number, picture):
    numbers.append(number)
    globals["count"] = globals.get("count", 0) + 1
    blue, green, red = picture.numpy_image.mean(axis=(0, 1)).round().astype(int).tolist()
    counts = [len(numbers), globals["count"]]
    return {"number": number + 1, "counts": counts, "colour": [blue, green, red], "picture": picture}
"""
COLOUR = (40, 80, 160)
SHAPE = (48, 64)
TOLERANCE = 3
"""How far a channel's mean may be off, after a picture was JPEG twice."""
UNAUTHORIZED = 401
CONNECT_SECONDS = 10


def over_http(url: str) -> str:
    """Validates and runs; the second time only the code's hash is sent."""
    os.environ["MODAL_WEB_ENDPOINT_URL"] = url
    _refuses_strangers(url, _post)
    if not modal_executor.MODAL_AVAILABLE:
        return "refuses who has no token; none is given to try it with"
    modal_executor.validate_code_in_modal(_code(), WORKSPACE)
    executor = modal_executor.ModalExecutor(WORKSPACE)
    milliseconds = [_run(executor, count=1) for _ in range(2)]
    return f"{_shown(milliseconds)}, a fresh container each; a wrong token is refused"


def over_websocket(url: str) -> str:
    """Runs twice over one connection."""
    _refuses_strangers(url, _connect)
    if not modal_executor.MODAL_AVAILABLE:
        return "refuses who has no token; none is given to try it with"
    milliseconds = _in_turn(url, (1, 1))
    return f"{_shown(milliseconds)}, a fresh container each; a wrong token is refused"


def in_a_session(url: str) -> str:
    """State lasts as long as a connection: it is there for the next block, and not on the next connection."""
    _refuses_strangers(url, _connect)
    if not modal_executor.MODAL_AVAILABLE:
        return "refuses who has no token; none is given to try it with"
    milliseconds = _in_turn(url, (1, 2, 3)) + _in_turn(url, (1,))
    return f"{_shown(milliseconds)}; state for one connection, and not for the next; a wrong token is refused"


DOORS: Mapping[str, Callable[[str], str]] = {
    "http": over_http,
    "websocket": over_websocket,
    "session": in_a_session,
}


def _code() -> PythonCode:
    return PythonCode(type="PythonCode", run_function_code=CODE, imports=[])


def _in_turn(url: str, counts: tuple[int, ...]) -> list[float]:
    os.environ["MODAL_WS_ENDPOINT_URL"] = url
    executor = modal_executor.PooledWebSocketModalExecutor(WORKSPACE)
    try:
        return [_run(executor, count) for count in counts]
    finally:
        executor.close()


def _run(executor: Any, count: int) -> float:
    """How long a block took (ms), of which this is to be the `count`-th that its container runs."""
    number = secrets.randbelow(1 << 31)
    image = np.full((*SHAPE, len(COLOUR)), COLOUR, np.uint8)
    picture = WorkflowImageData(ImageParentMetadata(parent_id="picture"), numpy_image=image)
    begin = time.perf_counter()
    back = executor.execute_remote("SmokeTest", _code(), {"number": number, "picture": picture}, WORKSPACE)
    milliseconds = 1000 * (time.perf_counter() - begin)
    if back.get("number") != number + 1:
        raise CheckFailedError(f"the block gave {str(back.get('number'))[:80]} for {number} + 1")
    if back.get("counts") != [count, count]:
        raise CheckFailedError(
            f"by its module and `globals` the block ran for the {back.get('counts')}. time, not the {count}."
        )
    returned = back.get("picture")
    means = returned.numpy_image.mean(axis=(0, 1)).tolist() if isinstance(returned, WorkflowImageData) else []
    for colours in (back.get("colour"), means):
        if len(colours) != len(COLOUR) or np.abs(np.subtract(colours, COLOUR)).max() > TOLERANCE:
            raise CheckFailedError(f"a picture of the colour {COLOUR} is of {colours} on its way")
    return milliseconds


def _shown(milliseconds: list[float]) -> str:
    return " and ".join(f"{each:.0f}" for each in milliseconds) + " ms"


def _refuses_strangers(url: str, ask: Callable[[str, dict[str, str]], int]) -> None:
    """Who has no token, or the right one's name with another secret, gets 401."""
    wrong = {"Modal-Key": os.environ.get("MODAL_TOKEN_ID") or "wk-none", "Modal-Secret": "ws-wrong"}
    for what, headers in (("no token", {}), ("a wrong token", wrong)):
        status = ask(url, headers)
        if status != UNAUTHORIZED:
            raise CheckFailedError(f"it answers {status} to who has {what}, and not {UNAUTHORIZED}")


def _post(url: str, headers: dict[str, str]) -> int:
    answer = requests.post(f"{url}?workspace_id={WORKSPACE}", json={}, headers=headers, timeout=CONNECT_SECONDS)
    return answer.status_code


def _connect(url: str, headers: dict[str, str]) -> int:
    address = f"{url.replace('http', 'ws', 1)}/ws?workspace_id={WORKSPACE}"
    try:
        websocket.create_connection(address, header=headers, timeout=CONNECT_SECONDS).close()
    except websocket.WebSocketBadStatusException as error:
        return int(error.status_code)
    return 101


def main() -> int:
    """Tries each door that has an address."""
    for door, through in DOORS.items():
        try:
            said = {"detail": through(os.environ[address_variable(door)])}
        except WorkflowError as error:
            said = {"error": error.public_message}
        except Exception as error:  # noqa: BLE001 - any of them is this door's failure
            said = {"error": str(error) if isinstance(error, CheckFailedError) else f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps({"door": door, **said}) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    status = main()
    os._exit(status)  # the client's own threads must not keep the process
