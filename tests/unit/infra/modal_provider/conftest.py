"""A control plane of this package's own, a provider connected to it, and an environment for each test."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tests.contract.conftest import LocalModal
from tests.unit.infra.modal_provider import driver

APP = """
import os

import modal

print("settings:", sorted(f"{key}={value}" for key, value in os.environ.items() if key.startswith("CUSTOM_BLOCKS_")))
print("passphrase:", os.environ.get("PULUMI_CONFIG_PASSPHRASE"))
tag = os.environ.get("CUSTOM_BLOCKS_IMAGE_TAG")
image = modal.Image.from_name(tag) if tag else modal.Image.debian_slim(python_version="3.11")
secrets = [modal.Secret.from_name(name) for name in os.environ.get("CUSTOM_BLOCKS_SECRETS", "").split(",") if name]
app = modal.App("tiny", include_source=False)


@app.function(image=image, secrets=secrets, timeout=int(os.environ.get("CUSTOM_BLOCKS_TIMEOUT_SECONDS", "20")))
def work():
    pass


@app.cls(image=image)
class Door:
    name: str = modal.parameter(default="")

    @modal.method()
    def work(self):
        pass

    @modal.asgi_app(label=f"tiny-{os.environ.get('CUSTOM_BLOCKS_LABEL', 'page')}", requires_proxy_auth=True)
    def page(self):
        pass
"""
BUILD = """
import os
import sys

import modal

assert sys.argv[1] == "--publish", sys.argv
print("settings:", sorted(f"{key}={value}" for key, value in os.environ.items() if key.startswith("CUSTOM_BLOCKS_")))
marker = os.environ.get("CUSTOM_BLOCKS_MARKER", "none")
image = modal.Image.debian_slim(python_version="3.11").env({"MARKER": marker})
image.build(modal.App.lookup("tiny-build", create_if_missing=True))
image.publish(sys.argv[2])
"""
HANGING = """
import os
import threading

print("child", os.getpid(), flush=True)
threading.Event().wait()
"""
FAILING = """
raise ValueError("no luck today")
"""


@dataclass(frozen=True)
class Account:
    """Who the provider is at Modal."""

    local: LocalModal
    variables: dict[str, str]


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    local = LocalModal(tmp_path_factory.mktemp("local-modal"), {"LOCAL_MODAL_PORT": "0"})
    local.start()
    try:
        yield Account(local, local.client_env())
    finally:
        local.run("stop")


@pytest.fixture(scope="session")
def provider(account: Account, modules: dict[str, str]) -> Iterator[driver.Provider]:
    with driver.provider({**account.variables, **modules}) as running:
        yield running


@pytest.fixture
def environment(provider: driver.Provider) -> Iterator[str]:
    """An environment that goes with all that is in it."""
    name = f"test-{uuid4().hex[:8]}"
    state = provider.create("Environment", {"name": name})
    yield name
    provider.delete(state)


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Small modules to deploy and to build, on the provider's path; one that hangs, one that fails."""
    folder = tmp_path_factory.mktemp("modules")
    for name, source in {"tiny_app": APP, "tiny_build": BUILD, "hanging_app": HANGING, "failing_app": FAILING}.items():
        (folder / f"{name}.py").write_text(source)
    return {"PYTHONPATH": str(folder), "PULUMI_CONFIG_PASSPHRASE": "canary-passphrase"}
