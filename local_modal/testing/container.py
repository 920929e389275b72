"""Local Modal as a container, by testcontainers' conventions: with_…, get_url(), a context manager, ready by health."""

import json
import os
import time
import urllib.error
from pathlib import Path
from typing import Any, Self

from testcontainers.core.container import DockerContainer
from testcontainers.core.exceptions import ContainerStartException
from testcontainers.core.wait_strategies import WaitStrategy
from testcontainers.core.waiting_utils import WaitStrategyTarget

from local_modal.daemon import DIRECT
from local_modal.settings import PREFIX

IMAGE = "inference-custom-blocks:local-modal"
"""As this repository builds it from docker/Dockerfile.local-modal; it is in no registry."""
PORT = 9171
SECCOMP_PROFILE = Path(__file__).with_name("seccomp.json")
"""Docker's default profile and the calls that the jail is made with: see docker/seccomp.py."""
IMAGES_FOLDER = "/var/cache/local-modal"
CA_BUNDLE = "/etc/local-modal/ca-bundle.crt"
START_SECONDS = 60


class LocalModalContainer(DockerContainer):
    """Local Modal in a container with the least privileges with which all layers of its jail work.

        with LocalModalContainer().with_image_cache("modal-images") as local:
            subprocess.run(["modal", "deploy", "app.py"], env={**os.environ, **local.client_env()}, check=True)

    It isn't root, has no capability and can get none, writes to its volumes and /tmp only, and has a seccomp profile of
    its own. The engine publishes its port where its configuration says so (by default: on all addresses); whoever
    reaches it needs the token.

    Args:
        image: name of an image that the engine has.
        arguments: of testcontainers' DockerContainer, such as `name` or `network`.
    """

    def __init__(self, image: str = IMAGE, **arguments: Any) -> None:
        super().__init__(image, **arguments)
        self._token: dict[str, str] | None = None
        self.with_exposed_ports(PORT)
        self.with_env(f"{PREFIX}PORT", str(PORT))
        self.with_tmpfs_mount("/tmp")  # noqa: S108 - the container's own
        self.with_kwargs(
            cap_drop=["ALL"],
            read_only=True,
            security_opt=["no-new-privileges", f"seccomp={SECCOMP_PROFILE.read_text()}"],
        )
        self.waiting_for(_Health().with_startup_timeout(START_SECONDS))

    def with_kwargs(self, **kwargs: Any) -> Self:
        """More arguments of docker's `containers.create`; what isn't named again stays."""
        return super().with_kwargs(**{**self._kwargs, **kwargs})

    def with_setting(self, name: str, value: object) -> Self:
        """A setting of local Modal by its name in `local_modal/settings.py`; lists are separated by commas."""
        return self.with_env(PREFIX + name.upper(), str(value))

    def with_image_cache(self, volume: str) -> Self:
        """Keep images that were built in a volume of that name: the next container has them."""
        return self.with_volume_mapping(volume, IMAGES_FOLDER, "rw")

    def with_ca_bundle(self, path: str | os.PathLike[str]) -> Self:
        """Certificate authorities to trust in image builds: a file on the engine's machine that all may read."""
        self.with_volume_mapping(os.path.abspath(path), CA_BUNDLE, "ro")
        return self.with_env("SSL_CERT_FILE", CA_BUNDLE)

    def get_url(self) -> str:
        """Where clients on this machine reach it."""
        return f"http://{self.get_container_host_ip()}:{self.get_exposed_port(PORT)}"

    def client_env(self, url: str | None = None) -> dict[str, str]:
        """The variables that connect a modal client: address, token (a secret) and environment.

        Args:
            url: where the client reaches it, if not as this process does: `http://<alias>:9171` from a container that
                shares a network with it.

        Raises:
            ContainerStartException: it doesn't run, or says why it has no token.
        """
        if self._token is None:
            done = self.exec(["local-modal", "env", "--format", "json"])
            if done.exit_code != 0:
                raise ContainerStartException(done.output.decode(errors="replace").strip())
            self._token = json.loads(done.output)
        return {**self._token, "MODAL_SERVER_URL": url or self.get_url()}

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """Remove it, with its volumes that have no name."""
        self._token = None
        super().stop(force, delete_volume)


class _Health(WaitStrategy):
    """Until /health answers at the published port. A container that ended is an error at once, in its own words."""

    def wait_until_ready(self, container: WaitStrategyTarget) -> None:
        """Raises ContainerStartException or TimeoutError."""
        assert isinstance(container, LocalModalContainer)  # noqa: S101 - it is only used here
        end = time.monotonic() + self._startup_timeout
        while time.monotonic() < end:
            container.reload()
            if container.status not in {"created", "running"}:
                said = b"".join(container.get_logs()).decode(errors="replace").strip()
                raise ContainerStartException(said or f"local Modal's container is {container.status}")
            if container.status == "running" and _answers(container):
                return
            time.sleep(self._poll_interval)
        raise TimeoutError(f"local Modal did not answer within {self._startup_timeout} s")


def _answers(container: LocalModalContainer) -> bool:
    try:
        with DIRECT.open(f"{container.get_url()}/health", timeout=5) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
    except (OSError, urllib.error.URLError, StopIteration):
        return False
