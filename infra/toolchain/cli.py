"""Where a Pulumi CLI comes from: PATH, then what was gotten before, then the official release, then its Go modules.

What is gotten lies outside the tree, in `$XDG_CACHE_HOME/inference-custom-blocks/pulumi-<version>/`. It appears there
complete or not at all, and once, however many processes want it at the same time.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from infra.toolchain import modules, release
from infra.toolchain.version import VERSION, ToolchainError, say

__all__ = ["ToolchainError", "cache", "pulumi"]


class Source(Protocol):
    """A way of getting a CLI."""

    name: str

    def get(self, folder: Path, version: str) -> None:
        """Fills `folder` with `pulumi` and its language host; ToolchainError says in a few words why it can't."""


SOURCES: tuple[Source, ...] = (release.Release(), modules.GoModules())
"""In the order they are tried."""


def pulumi(environ: Mapping[str, str] = os.environ, sources: tuple[Source, ...] = SOURCES) -> Path:
    """The path of a Pulumi CLI, gotten first if need be.

    Raises:
        ToolchainError: there is none on PATH, and none of the sources works here; one line.
    """
    if found := shutil.which("pulumi", path=environ.get("PATH")):
        return Path(found)
    folder = cache(environ) / f"pulumi-{VERSION}"
    if not folder.exists():
        with _alone(folder):
            if not folder.exists():
                _get(folder, sources)
    return folder / "pulumi"


def cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Where what this project downloads and builds is kept."""
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home(), ".cache")
    return Path(base, "inference-custom-blocks")


def _get(folder: Path, sources: tuple[Source, ...]) -> None:
    reasons = []
    for source in sources:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as part:
            complete = Path(part, folder.name)
            complete.mkdir()
            try:
                source.get(complete, VERSION)
            except ToolchainError as error:
                say(f"{source.name}: {error}")
                reasons.append(f"{source.name}: {error}")
                continue
            complete.rename(folder)
            return
    raise ToolchainError(
        f"no Pulumi CLI: none on PATH; {'; '.join(reasons)}. Install Pulumi (https://www.pulumi.com/docs/install) "
        f"or Go {modules.needed_go()} or newer, then run this again"
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder's lock: another process that gets it is waited for. What interrupted ones left is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process that gets the Pulumi CLI")
            fcntl.flock(file, fcntl.LOCK_EX)
        for part in folder.parent.glob(f".{folder.name}.*"):
            shutil.rmtree(part, ignore_errors=True)
        yield
