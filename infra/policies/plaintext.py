"""No secret in plain text: not among a stack's plain variables, and no secret value where the state keeps it as it is.

A policy is shown every value, encrypted or not, and not the stack's configuration. What is secret is therefore taken
from the properties that the state encrypts, and looked for in all others.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy import PolicyResource, ReportViolation, StackValidationArgs, StackValidationPolicy
from pulumi_policy.proxy import UnknownValueError

from infra.components.executor_secrets import ENV_NAME
from infra.settings import SERVER_OWN

SECRET = "modal:index:Secret"  # noqa: S105 - a type
STACK = "pulumi:pulumi:Stack"
ENCRYPTED = {
    SECRET: {"values"},
    "modal:index:ServiceUser": {"tokenSecret"},
    "modal:index:ProxyToken": {"tokenSecret"},
    STACK: {"serviceUser", "proxyToken", "serverSecrets"},
}
"""Properties that the state keeps encrypted, by type."""
CREDENTIAL_NAME = re.compile(
    r"(^|_)(SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|(API|ACCESS|PRIVATE)_?KEY)(_|$)", re.IGNORECASE
)
CREDENTIAL_VALUE = re.compile(
    r"\b(as|ws)-[A-Za-z0-9_-]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|://[^/\s:@]+:[^/\s:@]+@"
)
"""Secrets of Modal's tokens, private keys, URLs with a password."""
SHORTEST = 8
"""Characters of a secret that is looked for elsewhere: shorter ones are in everything."""


def _validate(args: StackValidationArgs, report: ReportViolation) -> None:
    for resource in args.resources:
        for key, name, value in _plain_variables(resource):
            if CREDENTIAL_NAME.search(name) or CREDENTIAL_VALUE.search(value):
                hidden = key.replace("Env", "Secrets")
                report(f"{key}.{name} looks like a credential: move it to {hidden} (pulumi config set --secret)", None)
    secrets = {text for resource in args.resources for text in _secrets(resource) if len(text) >= SHORTEST}
    for resource in args.resources:
        kept = ENCRYPTED.get(resource.resource_type, set())
        for path, text in _texts(resource.props):
            encrypted = re.split(r"[.\[]", path, maxsplit=1)[0] in kept
            if not encrypted and (CREDENTIAL_VALUE.search(text) or any(secret in text for secret in secrets)):
                report(f"{path} of {resource.name} holds a secret in plain text", resource.urn)


def _plain_variables(resource: PolicyResource) -> Iterator[tuple[str, str, str]]:
    """Variables that the stack's file holds in plain text: the key there, name and value."""
    if resource.resource_type == SECRET and _value(resource.props, "name") == ENV_NAME:
        yield from (("executorEnv", path, text) for path, text in _texts(_value(resource.props, "values")))
    if resource.resource_type == STACK:
        held = _texts(_value(resource.props, "serverEnv"))
        yield from (("serverEnv", path, text) for path, text in held if path not in SERVER_OWN)


def _secrets(resource: PolicyResource) -> Iterator[str]:
    """What the state encrypts of a resource. A token's id is no secret, and neither are the plain variables."""
    if resource.resource_type == SECRET and _value(resource.props, "name") == ENV_NAME:
        return
    for name in ENCRYPTED.get(resource.resource_type, ()):
        yield from (text for path, text in _texts(_value(resource.props, name)) if path != "tokenId")


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a value that is known already, with where it is."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name in value:
            yield from _texts(_value(value, name), f"{path}.{name}" if path else str(name))
    elif isinstance(value, Sequence):
        for index in range(len(value)):
            yield from _texts(_value(value, index), f"{path}[{index}]")


def _value(holder: Any, key: str | int) -> Any:
    """What is there, None where nothing is, or where only the deployment will tell."""
    try:
        return holder[key]
    except (KeyError, UnknownValueError):
        return None


PLAINTEXT = StackValidationPolicy("no-plaintext-secret", "Secrets are encrypted in file and state.", _validate)
