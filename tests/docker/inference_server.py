"""An inference server in a container of its own, with as few rights as it needs."""

import json
import urllib.error
import urllib.request
from typing import Any, Self

import docker
from docker.models.images import Image
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HealthcheckWaitStrategy

PORT = 9001
START_SECONDS = 300
SCRATCH = {"/tmp": "mode=1777,size=256m"}
RESTRICTED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "mem_limit": "4g",
    "pids_limit": 512,
}
"""What the server runs with, beside the tmpfs `SCRATCH`: nothing else is writable, and there is no capability."""


class InferenceServer(DockerContainer):
    """The image, started with `RESTRICTED` and healthy once its context is entered."""

    def __init__(self, image: Image, **settings: str) -> None:
        super().__init__(str(image.id))
        self.tmpfs = SCRATCH
        self.with_exposed_ports(PORT).with_envs(**settings).with_kwargs(**RESTRICTED)
        self.waiting_for(HealthcheckWaitStrategy().with_startup_timeout(START_SECONDS))

    def on(self, network: str) -> Self:
        """Connected to that network of the engine."""
        return self.with_kwargs(**RESTRICTED, network=network)

    @property
    def attributes(self) -> dict[str, Any]:
        """What the engine says of it."""
        container = self.get_wrapped_container()
        container.reload()
        attributes: dict[str, Any] = container.attrs
        return attributes

    @property
    def log(self) -> str:
        """All that it wrote."""
        return b"".join(self.get_logs()).decode()

    def run(self, command: list[str]) -> tuple[int, str]:
        """Exit status and output of a command inside it."""
        done = self.exec(command)
        return done.exit_code or 0, done.output.decode()

    def post(self, path: str, content: dict[str, Any]) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        return self._ask(path, json.dumps(content).encode())

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        return self._ask(path, None)

    def _ask(self, path: str, body: bytes | None) -> tuple[int, Any]:
        url = f"http://{self.get_container_host_ip()}:{self.get_exposed_port(PORT)}{path}"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def ended(client: docker.DockerClient, image: Image, *command: str, **settings: str) -> tuple[int, str]:
    """Exit status and output of a container that is to end by itself."""
    container = client.containers.run(
        str(image.id),
        list(command),
        detach=True,
        network_mode="none",
        environment=settings,
        tmpfs=SCRATCH,
        **RESTRICTED,
    )
    try:
        status: int = container.wait(timeout=START_SECONDS)["StatusCode"]
        return status, container.logs().decode()
    finally:
        container.remove(force=True)
