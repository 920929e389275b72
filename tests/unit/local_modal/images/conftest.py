"""One store with one built base image for all tests here: each builds on it, none changes it."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from local_modal.images import Environment, ImageStore
from local_modal.settings import CLIENT_VERSION
from tests.unit.local_modal.images.client_images import FROM_PYTHON, build_lines

Python = Callable[[Environment, str], str]


def new_store(root: Path, **options: object) -> ImageStore:
    """A store of its own."""
    return ImageStore(root, client_version=CLIENT_VERSION, uv=Path(find_uv_bin()), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def images_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="session")
def store(images_root: Path) -> ImageStore:
    return new_store(images_root)


@pytest.fixture(scope="session")
def base(store: ImageStore) -> Environment:
    return asyncio.run(build_lines(store, FROM_PYTHON))


@pytest.fixture
def python() -> Python:
    """Runs code with an environment's interpreter and variables, and nothing else; returns what it prints."""

    def run(environment: Environment, code: str) -> str:
        result = subprocess.run(
            [environment.python, "-c", code],
            env=dict(environment.env),
            cwd="/",
            check=True,
            capture_output=True,
            text=True,
        )
        return result.stdout.strip()

    return run
