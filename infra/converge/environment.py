"""The variables that Pulumi and the provider run with: the user's own, and what is missing for the stack.

The stack `local` needs nothing: its state lies in `$XDG_STATE_HOME/inference-custom-blocks/pulumi`, encrypted with a
passphrase that is made there once, and its Modal is local Modal. Any other stack uses the user's Pulumi backend and
Modal account. A variable that the user has set always wins.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.converge.errors import ConvergeError
from infra.credentials import LOCAL_STACK, CredentialsError, require_credentials

ROOT = Path(__file__).resolve().parents[2]
"""The repository, where Pulumi.yaml is."""
PASSPHRASE_VARIABLES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
CONNECTION = ("MODAL_SERVER_URL", "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET")
"""What connects Modal's client to a Modal that isn't modal.com. Tokens without an address are an account's."""
FIXED = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",  # all plug-ins are in this repository
    "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",  # a stack's salt is in its state too
    "no_grpc_proxy": "127.0.0.1,localhost",  # Pulumi's processes call one another here; gRPC would ask http_proxy
}
PRIVATE = 0o600


def state_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the state of `local`, its passphrase and the locks of deployments are."""
    base = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or Path.home(), ".local", "state")
    return Path(base, "inference-custom-blocks", "pulumi")


def stack_environment(stack: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """All variables for Pulumi, with the Modal credentials of local Modal where the stack is `local`.

    Raises:
        ConvergeError: credentials or a backend are missing; says how to get them.
    """
    variables = {**FIXED, **environ}
    home = state_home(environ)
    if stack == LOCAL_STACK:
        if not variables.get("PULUMI_BACKEND_URL"):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            variables["PULUMI_BACKEND_URL"] = home.as_uri()
            if not any(variables.get(name) for name in PASSPHRASE_VARIABLES):
                variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase(home / "passphrase"))
        if not all(variables.get(name) for name in CONNECTION):
            variables |= _local_modal()
        return variables
    if problem := _missing_backend(variables):
        raise ConvergeError(f"stack {stack}: {problem}")
    try:
        require_credentials(stack, variables)
    except CredentialsError as error:
        raise ConvergeError(str(error)) from None
    return variables


def backend_folder(variables: Mapping[str, str]) -> Path | None:
    """The folder of a file backend; None for any other backend."""
    url = urlsplit(variables.get("PULUMI_BACKEND_URL") or "")
    if url.scheme != "file":
        return None
    path = unquote(url.netloc + url.path)
    return Path(path).expanduser().absolute()


def _missing_backend(variables: Mapping[str, str]) -> str:
    home = Path(variables.get("PULUMI_HOME") or Path(variables.get("HOME") or Path.home(), ".pulumi"))
    if variables.get("PULUMI_BACKEND_URL") or variables.get("PULUMI_ACCESS_TOKEN") or _logged_in(home):
        return ""
    return (
        "no Pulumi backend for its state: set PULUMI_BACKEND_URL (such as s3://bucket, with PULUMI_CONFIG_PASSPHRASE), "
        "or PULUMI_ACCESS_TOKEN for Pulumi Cloud"
    )


def _logged_in(home: Path) -> bool:
    """Whether `pulumi login` was used: its current backend stands in credentials.json."""
    try:
        return bool(json.loads((home / "credentials.json").read_text("utf-8")).get("current"))
    except (OSError, ValueError, AttributeError):
        return False


def _passphrase(path: Path) -> Path:
    """The file of the generated passphrase, made if it isn't there; readable by the user only."""
    if not path.exists():
        part = path.with_name(f".{path.name}.{os.getpid()}")
        with open(part, "w", opener=lambda name, flags: os.open(name, flags, PRIVATE)) as file:
            file.write(secrets.token_urlsafe(32))
        try:
            os.link(part, path)  # fails where another process was faster: its passphrase is the one
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path


def _local_modal() -> dict[str, str]:
    command = [sys.executable, "-m", "local_modal", "env", "--format", "json"]
    asked = subprocess.run(  # noqa: S603 - this interpreter, with fixed arguments
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise ConvergeError(f"local Modal gives no credentials: {asked.stderr.strip()}")
    variables: dict[str, str] = json.loads(asked.stdout)
    return variables
