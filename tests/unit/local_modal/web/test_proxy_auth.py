"""The two forms of a proxy token."""

import pytest
from multidict import CIMultiDict

from local_modal.web import proxy_auth

PAIR = ("wk-a", "ws-b")


@pytest.mark.parametrize(
    "headers",
    [
        {"Modal-Key": "wk-a", "Modal-Secret": "ws-b"},
        {"modal-key": "wk-a", "MODAL-SECRET": "ws-b"},
        {"Authorization": "Bearer wk-a.ws-b"},
        {"authorization": "bearer  wk-a.ws-b "},
    ],
)
def test_a_token_is_found_in_either_form(headers: dict[str, str]) -> None:
    assert proxy_auth.credentials(CIMultiDict(headers)) == PAIR


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Modal-Key": "wk-a"},
        {"Modal-Secret": "ws-b"},
        {"Modal-Key": "wk-a", "Modal-Secret": ""},
        {"Authorization": "Bearer other"},
        {"Authorization": "Bearer wk-a"},
        {"Authorization": "Basic wk-a.ws-b"},
        {"Authorization": "wk-a.ws-b"},
    ],
)
def test_half_a_token_is_none(headers: dict[str, str]) -> None:
    assert proxy_auth.credentials(CIMultiDict(headers)) is None


def test_half_a_pair_is_not_made_up_for_by_a_bearer() -> None:
    assert proxy_auth.credentials(CIMultiDict({"Modal-Key": "wk-a", "Authorization": "Bearer wk-a.ws-b"})) is None


def test_the_applications_own_bearer_is_not_taken_for_a_token() -> None:
    assert not proxy_auth.is_bearer("Bearer eyJhbGciOi.J9.x")
