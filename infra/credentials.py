"""Whether there is a way to Modal, asked before anything is touched: credentials come from the environment alone.

`MODAL_TOKEN_ID` and `MODAL_TOKEN_SECRET`, or a profile of Modal's own configuration file, as its client reads them
(modal/config.py); `MODAL_SERVER_URL` where Modal is another one than modal.com, such as local Modal.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCAL_STACK = "local"
"""The stack that is Modal on this machine: it must never reach an account."""


class CredentialsError(RuntimeError):
    """Nothing says how to reach Modal; the message says what to do."""


def require_credentials(stack: str, environ: Mapping[str, str] = os.environ) -> None:
    """Does nothing where Modal can be called.

    Raises:
        CredentialsError: there are no credentials, or the local stack would reach an account.
    """
    if stack == LOCAL_STACK and not environ.get("MODAL_SERVER_URL"):
        raise CredentialsError(
            "stack local is Modal on this machine, and MODAL_SERVER_URL doesn't say where it listens. `make deploy` "
            "starts it and sets that; to run pulumi yourself:\n"
            "  .venv/bin/python -m local_modal start\n"
            '  eval "$(.venv/bin/python -m local_modal env)"'
        )
    given = [name for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET") if environ.get(name)]
    if len(given) == 1:
        (missing,) = {"MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"} - set(given)
        raise CredentialsError(f"{given[0]} is set and {missing} isn't: Modal needs both, of one token")
    if not given and not _has_profile(environ):
        raise CredentialsError(
            f"stack {stack} needs credentials for Modal, and there are none. Either sign in once,\n"
            "  .venv/bin/python -m modal token new\n"
            "or, as in CI, make a token at https://modal.com/settings/tokens and set\n"
            "  export MODAL_TOKEN_ID=ak-… MODAL_TOKEN_SECRET=as-…"
        )


def _has_profile(environ: Mapping[str, str]) -> bool:
    """Whether the profile in use of Modal's configuration file has a token."""
    path = Path(environ.get("MODAL_CONFIG_PATH") or Path.home() / ".modal.toml").expanduser()
    try:
        profiles: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError):
        return False
    sections = {name: section for name, section in profiles.items() if isinstance(section, dict)}
    active = next((name for name, section in sections.items() if section.get("active")), "default")
    profile = sections.get(environ.get("MODAL_PROFILE") or active, {})
    return bool(profile.get("token_id") and profile.get("token_secret"))
