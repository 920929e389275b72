"""No token that reaches beyond its stack's own environment."""

from pulumi_policy import (
    EnforcementLevel,
    PolicyResource,
    ReportViolation,
    StackValidationArgs,
    StackValidationPolicy,
)

ENVIRONMENT = "modal:index:Environment"
PROXY_TOKEN = "modal:index:ProxyToken"  # noqa: S105 - a type
SERVICE_USER = "modal:index:ServiceUser"
PRODUCTION = "production"
ALLOWED_ROLES = {"contributor", "viewer", "no-access"}


def _validate(args: StackValidationArgs, report: ReportViolation) -> None:
    own = {resource.props["name"] for resource in args.resources if resource.resource_type == ENVIRONMENT}
    for resource in args.resources:
        for sentence in _unscoped(resource, own):
            report(f"{resource.name} {sentence}", resource.urn)


def _unscoped(resource: PolicyResource, own: set[str]) -> list[str]:
    if resource.resource_type == PROXY_TOKEN:
        reached = set(resource.props.get("environments") or ())
        if not reached:
            return ["names no environment, which opens all of them"]
        return [f"opens {item} too, which isn't this stack's" for item in sorted(reached - own)]
    if resource.resource_type == SERVICE_USER:
        roles = dict(resource.props.get("roles") or {})
        beyond = [
            f"has a role in {item}, which isn't this stack's"
            for item in sorted(roles.keys() - own)
            if roles[item] != "no-access"
        ]
        return beyond + [f"is {role} in {item}" for item, role in sorted(roles.items()) if role not in ALLOWED_ROLES]
    return []


def _own_token(args: StackValidationArgs, report: ReportViolation) -> None:
    """A production without a service user leaves its server to somebody's token for the whole account."""
    stacks = {resource.urn.split("::")[0].rpartition(":")[2] for resource in args.resources}
    if PRODUCTION in stacks and not any(resource.resource_type == SERVICE_USER for resource in args.resources):
        report("serviceUser is false: give the server a token that reaches this environment only", None)


SCOPED = StackValidationPolicy("no-unscoped-token", "Tokens reach their stack's environment only.", _validate)
OWN_TOKEN = StackValidationPolicy(
    "production-has-a-token-of-its-own",
    "The server of production has a token of its own.",
    _own_token,
    EnforcementLevel.ADVISORY,
)
