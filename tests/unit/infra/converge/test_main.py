"""The command line: verbs, one line for a user's mistake, exit statuses."""

import pytest

from infra.converge.__main__ import VERBS, main


@pytest.fixture(autouse=True)
def without_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PULUMI_HOME", "/nonexistent")


def test_every_verb_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    for name, text in VERBS.items():
        assert f"{name} {text}" in printed


@pytest.mark.parametrize("verb", VERBS)
def test_a_mistake_is_one_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--stack", "staging"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("stack staging: no Pulumi backend")
    assert said.count("\n") == 1


def test_the_stack_is_that_of_the_variable_or_local(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STACK", "production")
    assert main(["up"]) == 1
    assert "stack production" in capsys.readouterr().err


def test_an_unknown_option_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket")
    monkeypatch.setenv("MODAL_TOKEN_ID", "ak-1")
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-1")
    assert main(["drift", "--stack", "staging", "--quickly"]) == 1
    assert capsys.readouterr().err == "drift takes no --quickly\n"
