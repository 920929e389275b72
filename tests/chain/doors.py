"""The web endpoints of an app that is deployed to a test's control plane, and a proxy token that opens them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from modal_app.settings import APP_NAME, DOORS
from tests.contract.conftest import LocalModal

ASK = """
import json
import sys
import modal

app, environment, doors = json.loads(sys.argv[1])
addresses = {}
for door, name in doors.items():
    cls, method = name.split(".")
    parameters = {"workspace_id": "any"} if door == "session" else {}
    found = modal.Cls.from_name(app, cls, environment_name=environment)(**parameters)
    addresses[door] = getattr(found, method).get_web_url()
tokens = modal.Workspace.from_context().proxy_tokens
token = tokens.create(f"doors-{environment}")
tokens.allow(token.token_id, environment)
print(json.dumps([addresses, token.token_id, token.token_secret]))
"""


@dataclass(frozen=True)
class Doors:
    """Address by door, as Modal's client says; the token is scoped to the app's environment."""

    addresses: dict[str, str]
    token_id: str
    token_secret: str

    @property
    def headers(self) -> dict[str, str]:
        """Of who has the token."""
        return {"Modal-Key": self.token_id, "Modal-Secret": self.token_secret}

    @property
    def smoke_variables(self) -> dict[str, str]:
        """Those that the smoke test takes."""
        addresses = {f"SMOKE_{door.upper()}_URL": url for door, url in self.addresses.items()}
        return addresses | {"SMOKE_PROXY_TOKEN_ID": self.token_id, "SMOKE_PROXY_TOKEN_SECRET": self.token_secret}

    def outputs(self, server: dict[str, str], connection: dict[str, str]) -> dict[str, Any]:
        """Outputs that a stack would have, for a server with these variables; `connection` is the client's own."""
        return {
            "serverEnv": server,
            "doors": self.addresses,
            "serverUrl": connection["MODAL_SERVER_URL"],
            "proxyToken": {"tokenId": self.token_id, "tokenSecret": self.token_secret},
            "serviceUser": {
                "tokenId": connection["MODAL_TOKEN_ID"],
                "tokenSecret": connection["MODAL_TOKEN_SECRET"],
            },
        }


def doors_of(plane: LocalModal, environment: str = "main") -> Doors:
    """Asks Modal's client, in a process of its own."""
    asked = json.dumps([APP_NAME, environment, DOORS])
    done = subprocess.run(
        [sys.executable, "-c", ASK, asked],
        env={**os.environ, **plane.client_env()},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return Doors(*json.loads(done.stdout))
