"""What the app says of itself: names, versions, and its settings with their defaults and what each may be.

It is asked in a process of its own, `python -m modal_app.settings`, as infra imports nothing of modal_app.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class AppFactsError(RuntimeError):
    """The app doesn't say what it is; its own words are in the message."""


@dataclass(frozen=True)
class AppFacts:
    """As `modal_app/settings_schema.py` describes it."""

    app: str
    versions: Mapping[str, str | int]
    doors: Mapping[str, str]
    """Web endpoint, `Class.method`, by the transport of which it is the server's end."""
    defaults: Mapping[str, Any]
    """Of the settings of app and server alike, by name."""
    server_needs: tuple[str, ...]
    """Settings of the app that the server must be told too."""
    allowed: Mapping[str, Mapping[str, Any]]
    """By name: variable, group, type, bounds, and a description."""


@cache
def app_facts() -> AppFacts:
    """Asks once per process.

    Raises:
        AppFactsError: it fails, or answers something else.
    """
    # The caller's own CUSTOM_BLOCKS_* variables are no default of the app.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CUSTOM_BLOCKS_")}
    command = [sys.executable, "-m", "modal_app.settings"]
    asked = subprocess.run(  # noqa: S603 - this interpreter, with fixed arguments
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise AppFactsError(f"`python -m modal_app.settings` failed: {asked.stderr.strip()}")
    try:
        said = json.loads(asked.stdout)
        return AppFacts(
            app=said["app"],
            versions=said["versions"],
            doors=said["doors"],
            defaults={**said["server_defaults"], **said["defaults"]},
            server_needs=tuple(said["server_needs"]),
            allowed=said["allowed"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise AppFactsError(f"`python -m modal_app.settings` answers something else than expected: {error!r}") from None
