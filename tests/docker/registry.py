"""A registry of the tests' own: the `registry` server of Debian's package docker-registry, as a process on loopback.

The engine takes a registry on its own loopback without TLS, so it must be this machine's.
"""

import atexit
import base64
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import NoReturn

import pytest
import requests

PACKAGE = "docker-registry"
USER, PASSWORD = "pusher", "swordfish"
ENTRY = f"{USER}:$2b$04$IgF2nOofVF0PsX2ZbYYfeOfC06irlEcj5PB7SXG/yMzWLksQJPAUu\n"
"""Of a password file: the password, hashed with bcrypt."""
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SECONDS = 30


def none_here(reason: str) -> NoReturn:
    """As for an engine: a failure where one is required, and otherwise NOT RUN."""
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(f"REQUIRE_DOCKER=1, and there is no registry: {reason}", pytrace=False)
    pytest.skip(f"NOT RUN: {reason}")


@cache
def program() -> str:
    """Path of the server: the installed one, or the package's, unpacked beside and not installed."""
    if found := shutil.which(PACKAGE):
        return found
    if not shutil.which("apt-get"):
        none_here(f"{PACKAGE} is not installed, and there is no apt-get to get it with")
    folder = Path(mkdtemp(prefix="registry-"))
    atexit.register(shutil.rmtree, folder)
    try:
        for command in (["apt-get", "download", "-qq", PACKAGE], ["sh", "-c", f"dpkg-deb -x {PACKAGE}_*.deb ."]):
            subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        none_here(f"{PACKAGE} can't be had: {error.stderr.strip().splitlines()[-1]}")
    return str(folder / "usr" / "bin" / PACKAGE)


@dataclass(frozen=True)
class Registry:
    """A running server."""

    address: str
    """HOST:PORT, as it begins an image's name."""
    credentials: tuple[str, str] | None

    def digest(self, repository: str, tag: str) -> str:
        """What it says that it has, asked without any engine."""
        answer = self._ask("HEAD", f"{repository}/manifests/{tag}")
        answer.raise_for_status()
        return answer.headers["Docker-Content-Digest"]

    def delete(self, repository: str, digest: str) -> None:
        """Forgets an image."""
        self._ask("DELETE", f"{repository}/manifests/{digest}").raise_for_status()

    def _ask(self, method: str, path: str) -> requests.Response:
        url = f"http://{self.address}/v2/{path}"
        return requests.request(method, url, headers={"Accept": MANIFEST}, auth=self.credentials, timeout=SECONDS)

    def docker_config(self, folder: Path, password: str = PASSWORD) -> Path:
        """What `docker login` leaves in a folder for DOCKER_CONFIG."""
        folder.mkdir(exist_ok=True)
        token = base64.b64encode(f"{USER}:{password}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {self.address: {"auth": token}}}))
        return folder


@contextmanager
def running(folder: Path, *, protected: bool = False) -> Iterator[Registry]:
    """Starts one that keeps its layers in a folder; `protected`, one that asks for `USER` and `PASSWORD`."""
    folder.mkdir()
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0"},
    }
    if protected:
        (folder / "users").write_text(ENTRY)
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "users")}}
    path = folder / "config.json"
    path.write_text(json.dumps(config))  # JSON is YAML
    with subprocess.Popen(
        [program(), "serve", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        said = iter(process.stderr or ())
        found = (re.search(r"listening on (127\.0\.0\.1:\d+)", line) for line in said)
        try:
            address = next(filter(None, found), None)
            assert address, "the registry ended by itself"
            reader = threading.Thread(target=lambda: [None for _ in said])
            reader.start()
            yield Registry(address[1], (USER, PASSWORD) if protected else None)
        finally:
            process.kill()
            reader.join()
