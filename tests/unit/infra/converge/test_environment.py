"""What Pulumi runs with: nothing to set up for `local`, the user's own for any other stack."""

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from infra.converge.environment import ROOT, backend_folder, stack_environment, state_home
from infra.converge.errors import ConvergeError

MODAL = {"MODAL_TOKEN_ID": "ak-1", "MODAL_TOKEN_SECRET": "as-1", "MODAL_SERVER_URL": "http://127.0.0.1:9"}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), **MODAL}


def test_the_local_stack_has_its_state_and_passphrase_on_this_machine(environ: dict[str, str]) -> None:
    variables = stack_environment("local", environ)
    home = Path(environ["XDG_STATE_HOME"], "inference-custom-blocks", "pulumi")
    assert variables["PULUMI_BACKEND_URL"] == f"file://{home}"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    passphrase = Path(variables["PULUMI_CONFIG_PASSPHRASE_FILE"])
    assert passphrase.parent == home
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
    assert len(passphrase.read_text()) >= 32
    assert "PULUMI_CONFIG_PASSPHRASE" not in variables, "a file's name is all that processes are given"


def test_the_passphrase_is_made_once(environ: dict[str, str]) -> None:
    first = Path(stack_environment("local", environ)["PULUMI_CONFIG_PASSPHRASE_FILE"])
    text = first.read_text()
    assert Path(stack_environment("local", environ)["PULUMI_CONFIG_PASSPHRASE_FILE"]).read_text() == text
    assert [path.name for path in first.parent.iterdir()] == ["passphrase"]


def test_what_the_user_set_wins(environ: dict[str, str]) -> None:
    own = {"PULUMI_BACKEND_URL": "s3://bucket", "PULUMI_CONFIG_PASSPHRASE": "own", "PULUMI_SKIP_UPDATE_CHECK": "false"}
    assert stack_environment("local", {**environ, **own}).items() >= own.items()
    own = {"PULUMI_CONFIG_PASSPHRASE": "own"}
    variables = stack_environment("local", {**environ, **own})
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in variables
    assert variables["MODAL_TOKEN_ID"] == "ak-1"


@pytest.mark.parametrize("stack", ["local", "staging"])
def test_pulumis_processes_reach_one_another_past_the_proxy_of_the_machine(environ: dict[str, str], stack: str) -> None:
    proxies = {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    own = {"PULUMI_BACKEND_URL": "s3://bucket"}
    variables = {**stack_environment(stack, {**environ, **own}), **proxies}
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    ask = (
        "import grpc, sys; channel = grpc.insecure_channel(sys.argv[1]); "
        "grpc.channel_ready_future(channel).result(timeout=10)"
    )
    try:
        subprocess.run([sys.executable, "-c", ask, f"127.0.0.1:{port}"], env=variables, check=True, timeout=60)
    finally:
        server.stop(None)


@pytest.mark.parametrize("kept", [(), ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"), ("MODAL_SERVER_URL",)])
def test_the_local_stack_is_local_modals_and_never_an_accounts(
    tmp_path: Path, environ: dict[str, str], kept: tuple[str, ...]
) -> None:
    home = tmp_path / "modal"
    variables = {name: value for name, value in environ.items() if name not in MODAL or name in kept}
    script = f"""
import json, os
from infra.converge.environment import stack_environment
os.environ["LOCAL_MODAL_HOME"] = {str(home)!r}
print(json.dumps(stack_environment("local", {variables!r})))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert '"MODAL_TOKEN_ID": "ak-' in done.stdout
    assert '"ak-1"' not in done.stdout  # a drawn token may begin so
    assert '"MODAL_SERVER_URL": "http://127.0.0.1:9171' in done.stdout


def test_another_stack_needs_a_backend_of_the_users(environ: dict[str, str]) -> None:
    with pytest.raises(ConvergeError, match=r"stack staging: no Pulumi backend.*PULUMI_BACKEND_URL") as raised:
        stack_environment("staging", environ)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("own", [{"PULUMI_BACKEND_URL": "s3://bucket"}, {"PULUMI_ACCESS_TOKEN": "pul-1"}])
def test_another_stack_uses_the_users_backend(environ: dict[str, str], own: dict[str, str]) -> None:
    variables = stack_environment("staging", {**environ, **own})
    assert variables.items() >= own.items()
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in variables


def test_another_stack_uses_the_backend_that_the_user_logged_in_to(environ: dict[str, str]) -> None:
    credentials = Path(environ["HOME"], ".pulumi", "credentials.json")
    credentials.parent.mkdir()
    credentials.write_text('{"current": "https://api.pulumi.com"}')
    assert "PULUMI_BACKEND_URL" not in stack_environment("staging", environ)


def test_another_stack_says_how_to_get_credentials(environ: dict[str, str]) -> None:
    variables = {name: value for name, value in environ.items() if name not in MODAL}
    variables |= {"PULUMI_BACKEND_URL": "s3://bucket", "MODAL_CONFIG_PATH": "/dev/null"}
    with pytest.raises(ConvergeError, match="modal token new"):
        stack_environment("staging", variables)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///a/b%20c", Path("/a/b c")),
        ("file://~/state", Path.home() / "state"),
        ("file://relative", Path.cwd() / "relative"),
        ("s3://bucket", None),
        ("https://api.pulumi.com", None),
        ("", None),
    ],
)
def test_a_file_backend_is_a_folder(url: str, folder: Path | None) -> None:
    assert backend_folder({"PULUMI_BACKEND_URL": url}) == folder


def test_state_is_in_the_home_folder_unless_said_otherwise() -> None:
    assert state_home({"HOME": "/home/ann"}) == Path("/home/ann/.local/state/inference-custom-blocks/pulumi")
