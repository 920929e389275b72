"""Whose block it is: which workspace a call runs as, and whether it may run at all."""

import re

from roboflow_workflows.environment import MODAL_ALLOW_ANONYMOUS_EXECUTION, MODAL_ANONYMOUS_WORKSPACE_NAME
from roboflow_workflows.errors import DynamicBlockError

from modal_app.settings import ANONYMOUS_ALIASES, WORKSPACE_ID


def resolve_workspace(workspace_id: str | None) -> str:
    """The workspace that a block of `workspace_id` runs as: itself, or the anonymous one where that is allowed.

    Raises:
        DynamicBlockError: the caller has no workspace and anonymous execution is off, or the id is malformed.
    """
    if not workspace_id or workspace_id in ANONYMOUS_ALIASES or workspace_id == MODAL_ANONYMOUS_WORKSPACE_NAME:
        if not MODAL_ALLOW_ANONYMOUS_EXECUTION:
            raise DynamicBlockError(
                public_message="Custom Python blocks need an API key of a workspace here: pass a valid one, or have "
                "the server allow anonymous execution with MODAL_ALLOW_ANONYMOUS_EXECUTION=True.",
                context="modal_executor | anonymous_policy",
            )
        return _checked(MODAL_ANONYMOUS_WORKSPACE_NAME)
    return _checked(workspace_id)


def _checked(workspace_id: str) -> str:
    if not re.fullmatch(WORKSPACE_ID.pattern, workspace_id):
        raise DynamicBlockError(
            public_message=f"The workspace id {workspace_id[:140]!r} is malformed: it may hold {WORKSPACE_ID.form}.",
            context="modal_executor | workspace_id",
        )
    return workspace_id
