"""The doors of a server that has nothing of this project: as its own client finds them, in a process of its own.

One process tries them all, as it takes seconds to import the engine; it is started by the first check that asks.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from urllib.parse import urlsplit

from modal_app.settings import DOORS
from modal_app.smoke.environment import SERVER, address_variable, token_variables
from modal_app.smoke.runner import CheckFailedError

NOT_A_RELEASED_SERVERS = ("MODAL_", "CUSTOM_BLOCKS_", "WEBEXEC_", "WORKFLOWS_PLUGINS")

_lock = threading.Lock()
_answers: dict[str, Future[str]] = {}


def http() -> str:
    """Blocks are validated and run over HTTP."""
    return _said_of("http")


def websocket() -> str:
    """Blocks run over a WebSocket, each in a container of its own."""
    return _said_of("websocket")


def session() -> str:
    """Blocks run over a WebSocket, those of a connection in one container."""
    return _said_of("session")


def _said_of(door: str) -> str:
    if not os.environ.get(address_variable(door)):
        raise CheckFailedError(
            f"there is no address of the {door} endpoint: `make smoke` gives that of the stack; where it doesn't, "
            "`make deploy` first"
        )
    with _lock:
        if not _answers:
            _answers.update({name: Future() for name in DOORS})
            threading.Thread(target=_ask, daemon=True).start()
    return _answers[door].result()


def _ask() -> None:
    """Starts the process and gives each answer to whom it concerns; what it doesn't answer has failed."""
    command = [sys.executable, "-W", "ignore", "-m", "modal_app.smoke.released"]
    with tempfile.TemporaryFile("w+") as errors:
        client = subprocess.Popen(  # noqa: S603 - this interpreter
            command, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        with client:
            for line in client.stdout or ():
                _give(line)
        errors.seek(0)
        reason = (errors.read().strip().splitlines() or ["without a word"])[-1]
    for answer in _answers.values():
        if not answer.done():
            answer.set_exception(CheckFailedError(f"the released client ended: {reason}"))


def _give(line: str) -> None:
    try:
        said = json.loads(line)
        answer = _answers[said["door"]]
    except (ValueError, KeyError, TypeError):
        return  # something that a package printed
    if "detail" in said:
        answer.set_result(said["detail"])
    else:
        answer.set_exception(CheckFailedError(str(said.get("error"))))


def _environment() -> dict[str, str]:
    """Of a released server, by its variables alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_A_RELEASED_SERVERS)}
    server = {name: value for name, value in SERVER.items() if name != "WORKFLOWS_PLUGINS"}
    given = {name: os.environ.get(variable, "") for name, variable in token_variables().items()}
    token = given if all(given.values()) else {}
    if os.environ.get("MODAL_DISABLE_API_PROXY"):
        hosts = {urlsplit(os.environ.get(address_variable(door), "")).hostname or "" for door in DOORS}
        inherited["NO_PROXY"] = inherited["no_proxy"] = ",".join(sorted(hosts - {""}))
    return {**inherited, **server, **token}
