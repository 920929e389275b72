"""A token that reaches beyond its stack's environment is reported."""

from infra.policies.scoped import OWN_TOKEN, SCOPED
from tests.unit.infra.policies.checking import reports, resource

OWN = resource("Environment", "production", "production", name="production")


def test_a_proxy_token_for_all_or_other_environments_is_reported() -> None:
    assert reports(SCOPED, OWN, resource("ProxyToken", environments=[])) == [
        "it names no environment, which opens all of them"
    ]
    assert reports(SCOPED, OWN, resource("ProxyToken", environments=["production", "main"])) == [
        "it opens main too, which isn't this stack's"
    ]


def test_a_service_user_of_other_environments_or_with_more_than_a_role_is_reported() -> None:
    assert reports(SCOPED, OWN, resource("ServiceUser", roles={"main": "viewer"})) == [
        "it has a role in main, which isn't this stack's"
    ]
    assert reports(SCOPED, OWN, resource("ServiceUser", roles={"production": "owner"})) == ["it is owner in production"]


def test_tokens_of_the_stacks_own_environment_are_let_be() -> None:
    tokens = (
        resource("ProxyToken", environments=["production"]),
        resource("ServiceUser", roles={"production": "contributor", "main": "no-access"}),
    )
    assert reports(SCOPED, OWN, *tokens) == []


def test_production_without_a_service_user_is_reported_and_no_other_stack() -> None:
    assert len(reports(OWN_TOKEN, OWN)) == 1
    assert reports(OWN_TOKEN, OWN, resource("ServiceUser", "it", "production")) == []
    assert reports(OWN_TOKEN, resource("Environment", "staging", "staging", name="staging")) == []
