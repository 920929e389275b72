"""The ways in which a server may call a stack, and the variables that each takes, from the stack's outputs.

`native` is this project's plug-in with Modal's client, on an API token. The others are the released server's own
client, with nothing of this project's in the server, on a proxy token: it sends MODAL_TOKEN_ID and MODAL_TOKEN_SECRET
to the web endpoint as they are, so that the same two variables mean another token there.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from infra.components.server_env import CONNECTION, PLUGIN
from infra.converge.errors import ConvergeError

NATIVE, HTTP, WEBSOCKET, SESSION = "native", "http", "websocket", "session"
TRANSPORTS = (NATIVE, HTTP, WEBSOCKET, SESSION)
PLUG_INS_OWN = ("MODAL_ENVIRONMENT", PLUGIN, *CONNECTION)
"""Variables that only the plug-in and Modal's client read; all that begin with `SETTINGS` are such, too."""
SETTINGS = "CUSTOM_BLOCKS_"
TOKENS = {
    NATIVE: ("serviceUser", "service user"),
    **dict.fromkeys((HTTP, WEBSOCKET, SESSION), ("proxyToken", "proxy token")),
}
"""The output that has the server's token, and what it is called."""


BYTES_ONLY = {"ALLOW_LOADING_IMAGES_FROM_LOCAL_FILESYSTEM": "False", "ALLOW_URL_INPUT": "False"}
"""A session's container answers the server directly: no image in its answers may name a file or a URL."""


def check_transport(name: str) -> str:
    """The name of a transport.

    Raises:
        ConvergeError: it is none.
    """
    if name not in TRANSPORTS:
        raise ConvergeError(f"TRANSPORT={name}: there is no such transport; there are {', '.join(TRANSPORTS)}")
    return name


def server_variables(
    outputs: Mapping[str, Any], transport: str = NATIVE, stack: str = "local"
) -> tuple[dict[str, str], dict[str, str]]:
    """Plain and secret variables, by name; a secret's value is a placeholder where `outputs` were read without them.

    Raises:
        ConvergeError: what is deployed has no such web endpoint.
    """
    plain = {name: str(value) for name, value in outputs["serverEnv"].items()}
    if transport != NATIVE:
        plain = _without_plug_in(plain) | _addresses(outputs, transport, stack)
    secret: dict[str, str] = {}
    match outputs.get(TOKENS[transport][0]):
        case {"tokenId": token_id, "tokenSecret": token_secret}:
            secret |= {"MODAL_TOKEN_ID": token_id, "MODAL_TOKEN_SECRET": token_secret}
        case str(hidden):
            secret |= {"MODAL_TOKEN_ID": hidden, "MODAL_TOKEN_SECRET": hidden}
    match outputs.get("serverSecrets"):
        case dict(values):
            secret |= {name: str(value) for name, value in values.items()}
        case str(hidden):
            secret["(serverSecrets)"] = hidden
    return plain, secret


def smoke_variables(outputs: Mapping[str, Any]) -> dict[str, str]:
    """What the smoke test needs beside a native server's variables, to try the web endpoints; with secrets."""
    variables = {f"SMOKE_{door.upper()}_URL": url for door, url in (outputs.get("doors") or {}).items()}
    if token := outputs.get("proxyToken"):
        variables |= {"SMOKE_PROXY_TOKEN_ID": token["tokenId"], "SMOKE_PROXY_TOKEN_SECRET": token["tokenSecret"]}
    return variables


def _without_plug_in(plain: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in plain.items() if name not in PLUG_INS_OWN and not name.startswith(SETTINGS)}


def _addresses(outputs: Mapping[str, Any], transport: str, stack: str) -> dict[str, str]:
    """Where blocks are validated, which is over HTTP always, and where they run."""
    doors = outputs.get("doors") or {}
    for needed in dict.fromkeys((HTTP, transport)):
        if needed not in doors:
            raise ConvergeError(f"what stack {stack} has deployed has no {needed} endpoint: make deploy STACK={stack}")
    variables = {"MODAL_WEB_ENDPOINT_URL": doors[HTTP], "WEBEXEC_TRANSPORT": HTTP}
    if transport != HTTP:
        variables |= {"MODAL_WS_ENDPOINT_URL": doors[transport], "WEBEXEC_TRANSPORT": WEBSOCKET}
    if transport == SESSION:
        variables |= BYTES_ONLY
    if outputs.get("serverUrl"):  # this machine's own: a proxy isn't on the way there
        variables["NO_PROXY"] = urlsplit(doors[HTTP]).hostname or ""
    return variables
