"""What is missing is found, said in a line, and nothing is touched."""

import socket
from pathlib import Path

import pytest

from infra.doctor import account, image_builder, local_modal, main, pulumi_cli, settings, state, versions, wants_images
from infra.toolchain.version import VERSION


def released(folder: Path, script: str) -> dict[str, str]:
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:/bin", "XDG_CACHE_HOME": str(folder)}


def test_the_packages_here_are_those_that_are_pinned() -> None:
    finding = versions()
    assert finding.good
    assert f"pulumi {VERSION}" in finding.detail


@pytest.mark.parametrize(
    ("script", "good", "said"),
    [
        (f"echo v{VERSION}", True, "on PATH"),
        ("echo v99.0.0", True, "99.0.0"),
        ("echo v3.1.0", False, "older than the SDK's"),
        ("echo broken >&2; exit 3", False, "does not run: broken"),
    ],
)
def test_the_cli_on_path_is_looked_at(tmp_path: Path, script: str, good: bool, said: str) -> None:
    finding = pulumi_cli(released(tmp_path, script))
    assert finding.good is good
    assert said in finding.detail


def test_a_cli_that_is_not_here_yet_is_no_fault_and_none_is_gotten(tmp_path: Path) -> None:
    finding = pulumi_cli({"PATH": "", "XDG_CACHE_HOME": str(tmp_path)})
    assert finding.good is None
    assert "the first deployment gets" in finding.detail
    assert list(tmp_path.iterdir()) == []


def test_a_stack_without_a_file_is_told() -> None:
    assert settings("local").good
    missing = settings("nowhere")
    assert missing.good is False
    assert "Pulumi.nowhere.yaml" in missing.detail


def test_the_state_says_how_it_was_left(tmp_path: Path) -> None:
    variables = {"PULUMI_BACKEND_URL": tmp_path.as_uri()}
    assert "nothing deployed yet" in state("local", variables).detail
    checkpoint = tmp_path / ".pulumi" / "stacks" / "inference-custom-blocks" / "local.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text('{"checkpoint": {"latest": {"resources": [1, 2]}}}')
    assert state("local", variables).good
    checkpoint.write_text('{"checkpoint": {"latest": {"pending_operations": [1]}}}')
    assert "interrupted" in state("local", variables).detail
    checkpoint.write_text("?")
    assert state("local", variables).good is False


def test_missing_credentials_end_in_a_failure_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket")
    assert main(["--stack", "staging"]) == 1
    said = capsys.readouterr().out
    assert "credentials" in said
    assert "modal token new" in said


def test_a_state_that_can_not_be_written_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/sys/not-even-roots")
    assert main(["--stack", "local"]) == 1
    assert "✗  /sys/not-even-roots" in capsys.readouterr().out.splitlines()[-1]


def test_an_account_that_does_not_answer_is_a_fault(tmp_path: Path) -> None:
    variables = {"MODAL_SERVER_URL": "http://localhost:9", "MODAL_TOKEN_ID": "ak-1", "MODAL_TOKEN_SECRET": "as-1"}
    finding = account({**variables, "PATH": "/bin", "HOME": str(tmp_path)})
    assert finding.good is False
    assert "http://localhost:9 can't be reached" in finding.detail


def test_an_account_is_looked_for_through_the_proxy_that_is_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"MODAL_SERVER_URL": "http://localhost:9", "PATH": "/bin", "HOME": str(tmp_path)}
    monkeypatch.setenv("http_proxy", "http://someone:canary@127.0.0.2:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    detail = account(variables).detail
    assert "can't be reached through the proxy 127.0.0.2:9, which the machine's variables name" in detail
    assert "canary" not in detail
    assert "proxy" not in account({**variables, "MODAL_DISABLE_API_PROXY": "1"}).detail


def test_another_program_on_local_modals_port_is_a_fault_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_MODAL_HOME", str(tmp_path / "home"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("LOCAL_MODAL_PORT", str(port))
        finding = next(iter(local_modal()))
    assert finding.good is False
    assert finding.detail == (
        f"127.0.0.1:{port} can't be used (Address already in use): stop what listens there, or choose another: "
        "LOCAL_MODAL_PORT=9272 make deploy"
    )
    finding = next(iter(local_modal()))
    assert finding.good is None
    assert finding.detail == f"not started: `make deploy` does, on 127.0.0.1:{port}"


@pytest.mark.parametrize(("value", "wants"), [("none", False), ("cpu", True), ("both", True)])
def test_an_engine_is_asked_for_where_the_stack_builds_images(tmp_path: Path, value: str, wants: bool) -> None:
    file = tmp_path / "Pulumi.some.yaml"
    assert not wants_images(file)
    file.write_text("config: {}\n")
    assert not wants_images(file)
    file.write_text(f"config:\n  inference-custom-blocks:serverImages: {value}\n")
    assert wants_images(file) is wants


def test_a_missing_engine_is_a_fault_that_says_what_to_do(no_engine: str) -> None:
    finding = image_builder()
    assert finding.good is False
    assert no_engine in finding.detail
    assert "docker/engine.sh" in finding.detail
