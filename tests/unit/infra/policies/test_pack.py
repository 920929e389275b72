"""The pack holds every rule there is, and passes what the program makes."""

import pytest
import yaml  # type: ignore[import-untyped]
from pulumi_policy import EnforcementLevel, StackValidationPolicy

from infra.app_facts import ROOT
from infra.policies.pack import POLICIES
from infra.policies.scoped import OWN_TOKEN
from tests.unit.infra.deployment import Deployment, deploy
from tests.unit.infra.policies.checking import reports, resource

FOLDER = ROOT / "infra" / "policies"


def said(made: Deployment, stack: str) -> list[str]:
    resources = [resource(item.type, item.name, stack, **item.inputs) for item in made.resources]
    resources.append(resource("pulumi:pulumi:Stack", "stack", stack, **made.outputs))
    return [message for policy in POLICIES for message in reports(policy, *resources)]  # type: ignore[arg-type]


@pytest.mark.parametrize("stack", ["staging", "production"])
def test_the_program_passes_its_own_policies(monkeypatch: pytest.MonkeyPatch, stack: str) -> None:
    made = deploy(
        monkeypatch, stack, executorSecrets={"API_KEY": "canary"}, serverSecrets={"K": "canary"}, rotation="2",
        packages=["shapely==2.1.2"],
    )  # fmt: skip
    assert said(made, stack) == []


def test_what_they_are_for_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODAL_SERVER_URL", "http://x")
    made = deploy(
        monkeypatch, "production", imageTag="blocks:latest", executorEnv={"API_KEY": "canary"}, serviceUser="false"
    )
    assert len(said(made, "production")) == 3


def test_every_rule_stops_a_deployment_but_the_one_that_a_plan_may_not_allow() -> None:
    softer = [policy for policy in POLICIES if policy.enforcement_level is not None]
    assert softer == [OWN_TOKEN]
    assert OWN_TOKEN.enforcement_level is EnforcementLevel.ADVISORY
    assert "EnforcementLevel.MANDATORY" in (FOLDER / "__main__.py").read_text("utf-8")


def test_names_are_unique_and_the_pack_runs_in_the_projects_environment() -> None:
    assert len({policy.name for policy in POLICIES}) == len(POLICIES)
    assert any(isinstance(policy, StackValidationPolicy) for policy in POLICIES)
    pack = yaml.safe_load((FOLDER / "PulumiPolicy.yaml").read_text("utf-8"))
    assert (FOLDER / pack["runtime"]["options"]["virtualenv"]).resolve() == ROOT / ".venv"
