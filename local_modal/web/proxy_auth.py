"""Proxy auth: the tokens of `modal proxy-token`, in either of the two forms in which Modal takes them."""

from collections.abc import Mapping

KEY, SECRET = "Modal-Key", "Modal-Secret"
TOKEN_PREFIX = "wk-"  # noqa: S105 - a form, no token
SECRET_PREFIX = ".ws-"  # noqa: S105 - a form, no token
OWN_HEADERS = frozenset({KEY.lower().encode(), SECRET.lower().encode()})


def is_bearer(value: str) -> bool:
    """Whether an Authorization header carries a proxy token."""
    scheme, _, token = value.partition(" ")
    return scheme.lower() == "bearer" and token.strip().startswith(TOKEN_PREFIX) and SECRET_PREFIX in token


def credentials(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Token id and secret: ``Modal-Key`` and ``Modal-Secret``, or ``Authorization: Bearer wk-….ws-…``.

    None where there are none, or half of them.
    """
    if KEY in headers or SECRET in headers:
        token_id, secret = headers.get(KEY, ""), headers.get(SECRET, "")
        return (token_id, secret) if token_id and secret else None
    value = headers.get("Authorization", "")
    if not is_bearer(value):
        return None
    token_id, _, secret = value.partition(" ")[2].strip().partition(".")
    return token_id, secret
