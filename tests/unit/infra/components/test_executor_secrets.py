"""Modal Secrets are made of what the stack gives its executors, and of nothing else."""

import pytest

from tests.unit.infra.deployment import deploy


def test_without_variables_there_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert deploy(monkeypatch, serverEnv={"A": "1"}, serverSecrets={"B": "2"}).of("Secret") == []


def test_a_secret_is_in_the_stacks_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = deploy(monkeypatch, environment="eu", executorSecrets={"B": "2"}).the("Secret")
    assert secret.inputs == {"name": "custom-blocks-secrets", "environment": "eu", "values": {"B": "2"}}


def test_plain_variables_are_kept_encrypted_in_the_state_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert deploy(monkeypatch, executorEnv={"A": "1"}).the("Secret").secret == {"values"}
