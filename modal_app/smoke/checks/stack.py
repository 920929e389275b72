"""What everything else needs: a control plane that takes the credentials, and the app in it. Imports no engine."""

import os

import modal
from grpclib.exceptions import StreamTerminatedError
from modal import exception as modal_errors
from modal.config import config

from modal_app.gate import token_workspace
from modal_app.settings import APP_NAME, EXECUTOR_CLASS
from modal_app.smoke.runner import StackUnusableError

HOW_TO_CONNECT = "set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET (local Modal: its `env` command prints them)"
DEPLOY = "run `make deploy`, or `modal deploy -m modal_app.app`"


def control_plane() -> str:
    """It answers, knows the token, and has the app; asks for a container, so that one starts meanwhile."""
    token = [os.environ.get(name, "") for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET")]
    if not all(token):
        raise StackUnusableError(f"there are no credentials: {HOW_TO_CONNECT}")
    url = config["server_url"]
    try:
        client = modal.Client.from_credentials(*token)
        workspace = token_workspace(client)
        executor = modal.Cls.from_name(APP_NAME, EXECUTOR_CLASS, client=client)
        executor(workspace_id="smoke").validate.spawn({})
    except modal_errors.AuthError as error:
        raise StackUnusableError(f"{url} refuses the credentials ({_line(error)}): {HOW_TO_CONNECT}") from error
    except modal_errors.NotFoundError as error:
        raise StackUnusableError(f"the app isn't deployed ({_line(error)}): {DEPLOY}") from error
    except (modal_errors.Error, StreamTerminatedError, OSError) as error:
        raise StackUnusableError(
            f"{url} can't be reached ({_line(error)}): check MODAL_SERVER_URL; local Modal: `make status`"
        ) from error
    return f"{url}, workspace {workspace}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
