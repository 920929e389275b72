"""Settings: every wrong value at once, and nothing else."""

from pathlib import Path

import pytest

from local_modal.errors import LocalModalError
from local_modal.settings import Settings


def test_a_variable_overrides_its_setting() -> None:
    settings = Settings.from_env(
        {"LOCAL_MODAL_PORT": "1234", "LOCAL_MODAL_HOME": "/somewhere", "LOCAL_MODAL_PREFORK": ""}
    )
    assert settings.port == 1234
    assert settings.home == Path("/somewhere")
    assert settings.prefork == Settings().prefork


def test_an_argument_overrides_the_variable() -> None:
    assert Settings.from_env({"LOCAL_MODAL_PORT": "1"}, port=2, bind=None).port == 2


def test_names_in_a_list_are_split_and_stripped() -> None:
    assert Settings.from_env({"LOCAL_MODAL_ALLOW_MISSING": " landlock, seccomp,"}).allow_missing == (
        "landlock",
        "seccomp",
    )


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(LocalModalError) as caught:
        Settings.from_env({"LOCAL_MODAL_PORT": "x", "LOCAL_MODAL_START_DEADLINE": "nan", "LOCAL_MODAL_PREFORK": "-1"})
    for name in ("LOCAL_MODAL_PORT='x'", "LOCAL_MODAL_START_DEADLINE='nan'", "LOCAL_MODAL_PREFORK='-1'"):
        assert name in str(caught.value)


def test_an_advertised_url_is_a_whole_address() -> None:
    given = Settings.from_env({"LOCAL_MODAL_ADVERTISED_URL": "https://modal.example:444/"}).advertised_url
    assert given == "https://modal.example:444"


@pytest.mark.parametrize(
    "wrong",
    [
        "127.0.0.1:9171",
        "ftp://host",
        "http://",
        "http://host:0",
        "http://host:x",
        "http://host/path",
        "http://u:p@host",
    ],
)
def test_an_advertised_url_that_no_client_takes_is_refused(wrong: str) -> None:
    with pytest.raises(LocalModalError, match=r"LOCAL_MODAL_ADVERTISED_URL=.*must be an address such as http://"):
        Settings.from_env({"LOCAL_MODAL_ADVERTISED_URL": wrong})


def test_the_address_for_clients_is_one_that_they_can_reach() -> None:
    assert Settings(bind="0.0.0.0", port=5).url == "http://127.0.0.1:5"  # noqa: S104
