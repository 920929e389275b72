"""Credentials come from the environment or from Modal's own file; where there are none, the message says what to do."""

from pathlib import Path

import pytest

from infra.credentials import CredentialsError, require_credentials

TOKEN = {"MODAL_TOKEN_ID": "ak-1", "MODAL_TOKEN_SECRET": "as-1"}


def profile(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "modal.toml"
    path.write_text(text)
    return {"MODAL_CONFIG_PATH": str(path)}


def test_a_token_in_the_environment_is_enough() -> None:
    require_credentials("staging", TOKEN)


def test_so_is_the_active_profile_of_modals_file(tmp_path: Path) -> None:
    text = '[a]\ntoken_id="ak"\ntoken_secret="as"\nactive=true\n[b]\ntoken_id="ak"\n'
    require_credentials("staging", profile(tmp_path, text))
    with pytest.raises(CredentialsError, match="there are none"):
        require_credentials("staging", profile(tmp_path, text) | {"MODAL_PROFILE": "b"})


@pytest.mark.parametrize("text", ["", "[[", '[a]\ntoken_id="ak"\n', "a = 1\n"])
def test_a_file_without_a_usable_token_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(CredentialsError, match=r"(?s)there are none.*modal token new.*settings/tokens"):
        require_credentials("staging", profile(tmp_path, text))


def test_half_a_token_is_named() -> None:
    with pytest.raises(CredentialsError, match="MODAL_TOKEN_ID is set and MODAL_TOKEN_SECRET isn't"):
        require_credentials("staging", {"MODAL_TOKEN_ID": "ak-1"})


def test_the_local_stack_wants_an_address() -> None:
    with pytest.raises(CredentialsError, match="make deploy"):
        require_credentials("local", TOKEN)
    require_credentials("local", TOKEN | {"MODAL_SERVER_URL": "http://127.0.0.1:9171"})
