"""The version of the CLI that is gotten, which go/go.mod pins and is that of the SDK; errors and progress."""

import re
import sys
from pathlib import Path

MODULE = Path(__file__).parent / "go"
"""The Go module that names what the CLI is built from, with the checksum of each part."""


class ToolchainError(Exception):
    """A CLI can't be had this way; the message is one line."""


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"toolchain: {text}\n")
    sys.stderr.flush()


def _pinned() -> str:
    found = re.search(r"github\.com/pulumi/pulumi/pkg/v3 v(\S+)", (MODULE / "go.mod").read_text("utf-8"))
    if not found:
        raise ToolchainError(f"{MODULE / 'go.mod'} does not name pulumi/pkg")
    return found[1]


VERSION = _pinned()
