"""The file of a server's variables: complete, quoted, and without secrets unless they are asked for."""

import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from infra.converge.errors import ConvergeError
from infra.env_file import quoted, text, unquoted, write
from infra.transports import TRANSPORTS, server_variables

OUTPUTS = {
    "serverEnv": {"MODAL_ENVIRONMENT": "main", "GREETING": "it's $HOME"},
    "serviceUser": {"tokenId": "ak-1", "tokenSecret": "as-1"},
    "serverSecrets": {"PASSWORD": "se cret"},
}
HIDDEN = {**OUTPUTS, "serviceUser": "[secret]", "serverSecrets": "[secret]"}


def test_without_secrets_it_says_what_is_left_out() -> None:
    printed = text("local", *server_variables(HIDDEN), shown=False)
    assert "MODAL_ENVIRONMENT=main\n" in printed
    assert "# MODAL_TOKEN_SECRET: secret" in printed
    assert "=[secret]" not in printed
    assert not [line for line in printed.splitlines() if line.startswith("MODAL_TOKEN")]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stack_without_a_token_says_which_one_to_give_the_server(transport: str) -> None:
    token = "service user" if transport == "native" else "proxy token"
    printed = text("local", {}, {}, transport=transport)
    assert f"has no {token}: give the server one, MODAL_TOKEN_ID and MODAL_TOKEN_SECRET" in printed


def test_a_shell_reads_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "server.env"
    plain, secret = server_variables(OUTPUTS)
    write(path, text("local", plain, secret))
    command = f"set -a; . {shlex.quote(str(path))}; env -0"
    shown = subprocess.run(["sh", "-c", command], env={}, capture_output=True, text=True, check=True).stdout
    variables = dict(line.partition("=")[::2] for line in shown.split("\0") if line)
    assert variables.items() >= {**plain, **secret}.items()


def test_the_file_is_the_users_alone_also_where_another_was(tmp_path: Path) -> None:
    path = tmp_path / "server.env"
    path.write_text("old")
    path.chmod(0o644)
    write(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("value", "written"), [("http://127.0.0.1:9/a", "http://127.0.0.1:9/a"), ("", ""), ("a b", "'a b'")]
)
def test_only_what_needs_quotes_has_them(value: str, written: str) -> None:
    assert quoted(value) == written


def test_docker_gets_values_as_they_are_since_it_takes_quotes_for_a_part_of_them() -> None:
    value = "two words, 'quoted' # and no comment"
    assert f"\nGREETING={value}\n" in text("staging", {"GREETING": value}, {}, form=unquoted)
    with pytest.raises(ConvergeError, match="line break"):
        text("staging", {"GREETING": "two\nlines"}, {}, form=unquoted)
