"""Runs one policy on resources, and tells what it reports."""

from typing import Any

from pulumi_policy import (
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

OPTIONS = PolicyResourceOptions(False, [], None, [], None, [], None)  # type: ignore[arg-type]


def resource(kind: str, logical: str = "it", stack: str = "staging", /, **props: Any) -> PolicyResource:
    """A resource of the provider, such as `App`."""
    kind = kind if ":" in kind else f"modal:index:{kind}"
    urn = f"urn:pulumi:{stack}::inference-custom-blocks::{kind}::{logical}"
    return PolicyResource(kind, props, urn, logical, OPTIONS, None, None, [], {})


def reports(policy: ResourceValidationPolicy | StackValidationPolicy, *resources: PolicyResource) -> list[str]:
    """What the policy says of a stack with these resources."""
    said: list[str] = []

    def report(message: str, _urn: str | None = None) -> None:
        said.append(message)

    if isinstance(policy, StackValidationPolicy):
        policy.validate(StackValidationArgs(list(resources)), report)
    else:
        for item in resources:
            args = ResourceValidationArgs(item.resource_type, item.props, item.urn, item.name, OPTIONS, None)
            policy.validate(args, report)
    return said
