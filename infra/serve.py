"""A released inference server on this machine, connected to a stack: `python -m infra.serve --stack STACK`.

It has the variables of `make server-env` and nothing else of this project, but for the plug-in on the native way: what
is started is docker/start.py, which starts the released package as its image does. It runs till it is interrupted.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from infra.converge.environment import ROOT
from infra.converge.errors import ConvergeError
from infra.converge.stack import Stack
from infra.env_file import TOKEN, server_environment
from infra.transports import NATIVE, TRANSPORTS, check_transport

HOST = "127.0.0.1"
LAST_PORT = 65_535
ANONYMOUS = "MODAL_ALLOW_ANONYMOUS_EXECUTION"
POLL_SECONDS = 0.5
END_SECONDS = 10.0
"""How long a server that was interrupted may take to end by itself (s)."""
OWN = {"TELEMETRY_OPT_OUT": "True"}
"""It tells nobody what it does, unless the environment says otherwise. Nor does it share a folder for models with other
servers: a database of usage lies there, and where that is another user's, a server doesn't end."""
KEY = "ROBOFLOW_API_KEY"
"""The shell's variable that the API key is put into, where one is needed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status of the server."""
    options = _parser().parse_args(arguments)
    try:
        stack, transport = Stack(options.stack), check_transport(options.transport)
        port = free_port(options.port)
        return serve(_environment(stack, transport), transport, stack, port, options.request)
    except ConvergeError as error:
        sys.stderr.write(f"{error}\n")
        return error.status
    except KeyboardInterrupt:
        return 0


def serve(environment: Mapping[str, str], transport: str, stack: Stack, port: int, request: Path | None) -> int:
    """Serves until it is interrupted, and says how to try it once it answers."""
    _say(f"starting the released server on {HOST}:{port}, to stack {stack.name} by {transport}; Ctrl-C ends it")
    with tempfile.TemporaryDirectory(prefix="inference-server-", ignore_cleanup_errors=True) as folder:
        variables = {**OWN, "MODEL_CACHE_DIR": f"{folder}/models", **environment}
        variables |= {"HOST": HOST, "PORT": str(port), "TMPDIR": folder}
        if transport == NATIVE:
            variables["PYTHONPATH"] = str(ROOT)  # where the plug-in is
        return _serve(variables, port, request)


def _serve(variables: Mapping[str, str], port: int, request: Path | None) -> int:
    server = subprocess.Popen([sys.executable, "-m", "start"], env=variables, cwd=ROOT / "docker")
    ended = threading.Event()
    telling = threading.Thread(target=_tell, args=(port, ended, command_for(port, request, variables)), daemon=True)
    telling.start()
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        return server.wait()
    except KeyboardInterrupt:  # the terminal sends it to the server, too, which ends by itself
        with suppress(subprocess.TimeoutExpired):
            return server.wait(END_SECONDS)
        _say(f"the server didn't end within {END_SECONDS:g} s, and is ended")
        return 0
    finally:
        ended.set()
        server.kill()
        server.wait()


def _environment(stack: Stack, transport: str) -> dict[str, str]:
    outputs = stack.outputs(secrets=True)
    environment = server_environment(stack, outputs, transport)
    if transport != NATIVE and "MODAL_TOKEN_SECRET" not in environment:
        raise ConvergeError(
            f"stack {stack.name} has no proxy token for its server: set `proxyToken: true` and deploy, or start a "
            f"server with the variables of make server-env and {TOKEN} of your own"
        )
    return environment


def free_port(text: str) -> int:
    """The port that `text` names.

    Raises:
        ConvergeError: it names none, or one that is taken.
    """
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= LAST_PORT):
        raise ConvergeError(f"PORT={text} must be a number from 1 to {LAST_PORT}")
    try:
        with socket.create_server((HOST, int(text))):
            return int(text)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConvergeError(f"{HOST}:{text} can't be used ({reason}): choose another, make serve PORT=9002") from None


def _tell(port: int, ended: threading.Event, command: str) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while not ended.wait(POLL_SECONDS):
        try:
            with direct.open(f"http://{HOST}:{port}/healthz", timeout=POLL_SECONDS):
                _say(f"\nthe server answers; to run a workflow on it:\n\n{command}\n")
                return
        except OSError:
            continue


def command_for(port: int, request: Path | None, environment: Mapping[str, str]) -> str:
    """The command that runs a workflow: with an API key where the stack refuses blocks of nobody."""
    url, header = f"http://{HOST}:{port}/workflows/run", "-H 'Content-Type: application/json'"
    if request is None:
        return f"  curl -s {url} {header} -d @request.json"
    if environment.get(ANONYMOUS) == "True":
        return f"  curl -s {url} {header} -d @{request}"
    with_key = f'sed -f <(echo "s/\\"api_key\\": null/\\"api_key\\": \\"${KEY}\\"/") {request}'  # kept out of ps
    return (
        f"  read -rs {KEY}  # of the workspace that the block is to run in\n  {with_key} | curl -s {url} {header} -d @-"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m infra.serve", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stack", default=os.environ.get("STACK") or "local", help="the stack (default: %(default)s)")
    parser.add_argument("--transport", default=NATIVE, help="how the server calls: " + ", ".join(TRANSPORTS))
    parser.add_argument("--port", default="9001", help="where it listens (default: %(default)s)")
    parser.add_argument("--request", type=Path, help="the file with a request that can be sent to it")
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
