"""Whose block it is: the workspace that a request's query string names, or the anonymous one where that may run.

The released client puts the id into its URL as it is, unescaped over HTTP. An id that could be read in two ways is
refused, so that no one gets into another's workspace by how a URL is parsed.
"""

import re
from urllib.parse import parse_qsl

from modal_app.gateway.problems import Problem
from modal_app.settings import ANONYMOUS_ALIASES, WORKSPACE_ID

PARAMETER = "workspace_id"
ANONYMOUS = "anonymous"
MAX_FIELDS = 8
MAX_QUERY_CHARS = 1024


def workspace_of(query: bytes, *, anonymous: bool) -> str:
    """The workspace that a block runs as.

    Raises:
        Problem: status 400 where the id is malformed or there are two, 403 where anonymous callers aren't served.
    """
    if len(query) > MAX_QUERY_CHARS:
        raise _malformed("the URL's query is too long")
    try:
        fields = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), max_num_fields=MAX_FIELDS
        )
    except ValueError as error:
        raise _malformed("the URL's query can't be read") from error
    given = [value for name, value in fields if name == PARAMETER]
    if len(given) > 1:
        raise _malformed(f"{PARAMETER} is in the URL more than once")
    return checked(given[0] if given else "", anonymous=anonymous)


def checked(workspace_id: str, *, anonymous: bool) -> str:
    """`workspace_id` itself, or the anonymous workspace's.

    Raises:
        Problem: as of `workspace_of`.
    """
    if workspace_id in ANONYMOUS_ALIASES:
        if not anonymous:
            raise Problem(
                "AnonymousRefused",
                "custom Python blocks need an API key of a workspace here: pass a valid one, or have the deployment "
                "allow anonymous execution (CUSTOM_BLOCKS_ANONYMOUS=allow)",
                403,
            )
        return ANONYMOUS
    if not re.fullmatch(WORKSPACE_ID.pattern, workspace_id):
        raise _malformed(f"it may hold {WORKSPACE_ID.form}")
    return workspace_id


def _malformed(reason: str) -> Problem:
    return Problem("InvalidWorkspace", f"the workspace id is malformed: {reason}", 400)
