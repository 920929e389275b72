"""The client's own commands for environments, secrets, apps, logs and tokens."""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import modal
import pytest

from tests.contract.conftest import Deploy, LocalModal

Cli = Callable[..., CompletedProcess[str]]


def test_environments_are_created_listed_and_refused_twice(cli: Cli) -> None:
    cli("environment", "create", "cli-made")
    try:
        names = [entry["name"] for entry in json.loads(cli("environment", "list", "--json").stdout)]
        assert "cli-made" in names
        again = cli("environment", "create", "cli-made", check=False)
        assert again.returncode != 0
        assert "already exists" in again.stdout + again.stderr
    finally:
        cli("environment", "delete", "cli-made", "--yes")
    names = [entry["name"] for entry in json.loads(cli("environment", "list", "--json").stdout)]
    assert "cli-made" not in names


def test_an_unknown_environment_is_named(cli: Cli) -> None:
    failed = cli("app", "list", "--env", "nowhere", check=False)
    assert failed.returncode != 0
    assert "nowhere" in failed.stdout + failed.stderr


def test_secrets_are_created_listed_overwritten_and_deleted(cli: Cli) -> None:
    cli("secret", "create", "cli-secret", "KEY=first")
    refused = cli("secret", "create", "cli-secret", "KEY=second", check=False)
    assert refused.returncode != 0
    cli("secret", "create", "cli-secret", "KEY=second", "--force")
    listed = cli("secret", "list", "--json").stdout
    assert "cli-secret" in listed
    assert "second" not in listed
    cli("secret", "delete", "cli-secret", "--yes")
    assert "cli-secret" not in cli("secret", "list", "--json").stdout


def test_secrets_of_one_environment_are_not_seen_in_another(cli: Cli) -> None:
    cli("secret", "create", "here-only", "KEY=value")
    assert "here-only" not in cli("secret", "list", "--env", "main", "--json").stdout


def test_secret_values_lie_sealed_in_the_store(local: LocalModal, cli: Cli) -> None:
    cli("secret", "create", "sealed", "KEY=canary-5f0c1e")
    database = [path.read_bytes() for path in local.home.glob("store.sqlite3*")]
    assert len(database) > 1, "its write-ahead log is looked at too"
    assert any(b"sealed" in content for content in database)
    files = [path for path in local.home.rglob("*") if path.is_file()]
    assert [path for path in files if b"canary-5f0c1e" in path.read_bytes()] == []
    assert stat.S_IMODE((local.home / "credentials.json").stat().st_mode) == 0o600, "the key lies there"


@pytest.mark.usefixtures("local")
def test_the_token_says_whose_it_is(cli: Cli) -> None:
    text = cli("token", "info").stdout
    assert os.environ["MODAL_TOKEN_ID"] in text
    assert "local" in text


@pytest.mark.usefixtures("local")
def test_token_set_verifies_the_token(tmp_path: Path) -> None:
    def token_set(secret: str) -> subprocess.CompletedProcess[str]:
        arguments = ["--token-id", os.environ["MODAL_TOKEN_ID"], "--token-secret", secret, "--profile", "local"]
        environment = {**os.environ, "MODAL_CONFIG_PATH": str(tmp_path / "modal.toml")}
        command = [sys.executable, "-m", "modal", "token", "set", *arguments]
        return subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=60)

    good = token_set(os.environ["MODAL_TOKEN_SECRET"])
    assert good.returncode == 0, good.stderr
    bad = token_set("wrong")
    assert bad.returncode != 0
    assert "local-modal env" in bad.stdout + bad.stderr


@pytest.mark.parametrize("variable", ["MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"])
@pytest.mark.usefixtures("local")
def test_a_wrong_token_is_refused_by_every_command(cli: Cli, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "ak-wrong")
    for command in (("app", "list"), ("secret", "list"), ("environment", "list"), ("token", "info")):
        failed = cli(*command, check=False)
        assert failed.returncode != 0
        assert "local-modal env" in failed.stdout + failed.stderr


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize(
    ("version", "served"), [("1.5.9", False), ("1.6.0", True), ("1.6.4.dev3", True), ("1.7.0", False)]
)
def test_a_client_of_another_version_is_told_which_to_install(version: str, served: bool) -> None:
    program = (
        f"import modal_version; modal_version.__version__ = {version!r}; import modal; modal.Client.from_env().hello()"
    )
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=False, timeout=60)
    assert (done.returncode == 0) == served, done.stderr
    assert ("doesn't serve" in done.stderr) != served
    assert served or f"modal {version}: it speaks" in done.stderr
    assert ("pip install modal==" in done.stderr) != served


def test_an_app_is_listed_with_its_history_and_its_logs(deploy: Deploy, cli: Cli, environment: str) -> None:
    deploy(
        """
        import modal

        app = modal.App("talks")


        @app.function(image=modal.Image.debian_slim(python_version="3.11"), timeout=20)
        def say(word):
            print("it says", word)
    """,
        "--tag",
        "release-7",
    )
    listed = json.loads(cli("app", "list", "--json").stdout)
    assert [entry for entry in listed if "talks" in entry.values() and "deployed" in entry.values()]
    history = json.loads(cli("app", "history", "talks", "--json").stdout)
    assert "release-7" in history[0].values()
    assert modal.__version__ in history[0].values()
    modal.Function.from_name("talks", "say", environment_name=environment).remote("moo")
    end = time.monotonic() + 20
    while "it says moo" not in cli("app", "logs", "talks").stdout:
        assert time.monotonic() < end


def test_an_rpc_that_is_not_served_is_named_and_counted(local: LocalModal, cli: Cli) -> None:
    failed = cli("volume", "list", check=False)
    assert failed.returncode != 0
    assert "VolumeList" in failed.stdout + failed.stderr
    unserved = local.status()["unserved"]
    assert isinstance(unserved, dict)
    assert unserved["VolumeList"] >= 1
