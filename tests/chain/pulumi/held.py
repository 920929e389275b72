"""What a control plane holds of a deployment: the definition that any client gets, and the rows behind it."""

import asyncio
import json
import sqlite3
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.fernet import Fernet
from modal_proto import api_pb2

from local_modal.credentials import Credentials
from local_modal.server import STORE_FILE
from tests.chain.pulumi.conftest import APP, Deployment
from tests.contract.conftest import LocalModal
from tests.contract.test_access import Caller


@dataclass(frozen=True)
class Held:
    """Of one environment."""

    modal: LocalModal
    deployment: Deployment
    environment: str

    @cached_property
    def function(self) -> api_pb2.Function:
        """The executor's definition."""
        return self.class_of("Executor")

    @cached_property
    def gateway(self) -> api_pb2.Function:
        """The Gateway's."""
        return self.class_of("Gateway")

    @cached_property
    def door_variables(self) -> dict[str, str]:
        """What the Gateway's containers have in their environment, and a Session's as well."""
        gateway, session = (self.environment_of(self.class_of(name)) for name in ("Gateway", "Session"))
        assert gateway.items() <= session.items()
        return gateway

    def class_of(self, name: str) -> api_pb2.Function:
        """A class's definition."""
        answer = self.ask("FunctionGet", app_name=APP, object_tag=f"{name}.*", environment_name=self.environment)
        function: api_pb2.Function = answer.function.ranked_functions[0].function
        return function

    def environment_of(self, function: api_pb2.Function) -> dict[str, str]:
        """The variables that its Secrets bring, opened with the store's key."""
        box = Fernet(Credentials.load(self.modal.home).store_key)
        found: dict[str, str] = {}
        for secret_id in function.secret_ids:
            (row,) = self.rows("SELECT sealed FROM secrets WHERE secret_id = ?", secret_id)
            found |= json.loads(box.decrypt(row["sealed"]))
        return found

    @cached_property
    def image_lines(self) -> list[str]:
        """What builds the executor's image, the lines of its bases included."""
        return self.lines_of(self.function.image_id)

    @cached_property
    def bases(self) -> list[str]:
        """Ids of the executor's image and of those that it is built on."""
        return list(self._chain(self.function.image_id))

    @cached_property
    def attached(self) -> dict[str, list[str]]:
        """Named secrets of the executor: the names of their variables."""
        named = {row["secret_id"]: row["name"] for row in self.rows("SELECT secret_id, name FROM secrets")}
        return {
            named[secret_id]: sorted(self.ask("SecretGetInfo", secret_id=secret_id).metadata.keys)
            for secret_id in self.function.secret_ids
            if named[secret_id]
        }

    @cached_property
    def server(self) -> dict[str, str]:
        """The variables of an inference server, as the stack gives them."""
        lines = self.deployment.env_file("--show-secrets").splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    @property
    def names(self) -> dict[str, Any]:
        """All that is at Modal, by name."""
        return self.deployment.inventory()

    def lines_of(self, image_id: str) -> list[str]:
        """Of an image, whether or not its build went through."""
        return [line for image in self._chain(image_id).values() for line in image.dockerfile_commands]

    def _chain(self, image_id: str) -> dict[str, api_pb2.Image]:
        (row,) = self.rows("SELECT image FROM images WHERE image_id = ?", image_id)
        image = api_pb2.Image.FromString(row["image"])
        found = {image_id: image}
        for base in image.base_images:
            found |= self._chain(base.image_id)
        return found

    def rows(self, query: str, *values: str) -> list[sqlite3.Row]:
        """Of the control plane's store."""
        with sqlite3.connect(f"{(self.modal.home / STORE_FILE).as_uri()}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()

    def ask(self, rpc: str, **fields: object) -> Any:
        """The answer to an RPC of the account's own token."""
        variables = self.deployment.modal
        token = variables["MODAL_TOKEN_ID"], variables["MODAL_TOKEN_SECRET"]
        return asyncio.run(Caller(variables["MODAL_SERVER_URL"], *token).call(rpc, **fields))
