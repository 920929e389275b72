"""Secrets in plain text are found among a stack's plain variables and in all that the state doesn't encrypt."""

import pytest
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from infra.policies.plaintext import PLAINTEXT
from tests.unit.infra.policies.checking import reports, resource

STACK = "pulumi:pulumi:Stack"
HELD = resource("Secret", "custom-blocks-secrets", name="custom-blocks-secrets", values={"KEY": "canary-value"})


@pytest.mark.parametrize("name", ["API_KEY", "DB_PASSWORD", "GITHUB_TOKEN", "aws_secret_access_key", "SECRET"])
def test_a_plain_variable_with_a_credentials_name_is_one(name: str) -> None:
    env = resource("Secret", name="custom-blocks-env", values={name: "x"})
    (said,) = reports(PLAINTEXT, env)
    assert said.startswith(f"executorEnv.{name} looks like a credential: move it to executorSecrets")
    (said,) = reports(PLAINTEXT, resource(STACK, serverEnv={name: "x"}))
    assert said.startswith(f"serverEnv.{name} looks like a credential: move it to serverSecrets")


@pytest.mark.parametrize(
    "value", ["as-0123456789abcdef0123", "postgres://me:pw@host/db", "-----BEGIN RSA PRIVATE KEY-----"]
)
def test_so_is_one_with_a_credentials_value(value: str) -> None:
    (said,) = reports(PLAINTEXT, resource("Secret", name="custom-blocks-env", values={"WHERE": value}))
    assert "move it to executorSecrets" in said
    assert value not in said


@pytest.mark.parametrize("name", ["MODE", "TOKENIZERS_PARALLELISM", "KEYBOARD", "MAX_KEYS"])
def test_other_variables_are_let_be(name: str) -> None:
    value = "https://example.com/a:b"
    env = resource("Secret", name="custom-blocks-env", values={name: value})
    assert reports(PLAINTEXT, env, HELD, resource(STACK, serverEnv={name: value})) == []


def test_a_secret_is_found_wherever_the_state_does_not_encrypt_it() -> None:
    for held in (HELD, resource(STACK, serverSecrets={"KEY": "canary-value"})):
        assert reports(PLAINTEXT, held, resource("App", settings={"CUSTOM_BLOCKS_X": "a canary-value b"})) == [
            "settings.CUSTOM_BLOCKS_X of it holds a secret in plain text"
        ]
        assert reports(PLAINTEXT, held, resource("App", secrets=["canary-value"])) == [
            "secrets[0] of it holds a secret in plain text"
        ]
    assert reports(PLAINTEXT, resource(STACK, next={"A": "ws-0123456789abcdef"})) == [
        "next.A of it holds a secret in plain text"
    ]


def test_where_the_state_encrypts_it_it_may_be() -> None:
    stack = resource(
        STACK,
        serverSecrets={"KEY": "canary-value"},
        serviceUser={"tokenId": "ak-0123456789abcdef", "tokenSecret": "as-0123456789abcdef"},
    )
    user = resource("ServiceUser", tokenId="ak-0123456789abcdef", tokenSecret="as-0123456789abcdef")
    assert reports(PLAINTEXT, HELD, stack, user) == []


def test_a_value_that_only_the_deployment_will_tell_hides_nothing() -> None:
    """One that is asked for ends the policy with a mere warning, in a preview."""
    app = resource("App", url="x", secrets=["canary-value", "y"])
    env = resource("Secret", name="custom-blocks-env", values={"API_KEY": "x"})
    for item in (app, env):
        props = {"appId": UNKNOWN_STRING_VALUE, "more": [UNKNOWN_STRING_VALUE], **item.props}
        item.props = unknown_checking_proxy(props)
    assert reports(PLAINTEXT, HELD, app, env) == [
        "executorEnv.API_KEY looks like a credential: move it to executorSecrets (pulumi config set --secret)",
        "secrets[0] of it holds a secret in plain text",
    ]
