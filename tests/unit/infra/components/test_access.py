"""The environment and the server's tokens: scoped to it, rotated without a gap, protected where the stack says so."""

import pytest

from tests.unit.infra.deployment import deploy


def test_the_servers_tokens_reach_the_stacks_own_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch, environment="eu")
    assert made.the("Environment").inputs["name"] == "eu"
    assert made.the("ServiceUser").inputs["roles"] == {"eu": "contributor"}
    assert made.the("ProxyToken").inputs["environments"] == ["eu"]
    assert "eu" in made.the("ServiceUser").needs & made.the("ProxyToken").needs


@pytest.mark.parametrize(
    ("key", "kind", "output"),
    [("serviceUser", "ServiceUser", "serviceUser"), ("proxyToken", "ProxyToken", "proxyToken")],
)
def test_a_token_that_the_plan_lacks_can_be_left_out(
    monkeypatch: pytest.MonkeyPatch, key: str, kind: str, output: str
) -> None:
    made = deploy(monkeypatch, **{key: "false"})
    assert made.of(kind) == []
    assert output not in made.outputs


def test_an_environment_can_be_restricted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert deploy(monkeypatch).the("Environment").inputs["restricted"] is False
    assert deploy(monkeypatch, restricted="true").the("Environment").inputs["restricted"] is True


def test_the_service_user_expires_when_the_stack_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "expiresInDays" not in deploy(monkeypatch).the("ServiceUser").inputs
    assert deploy(monkeypatch, serviceUserDays="90").the("ServiceUser").inputs["expiresInDays"] == 90


@pytest.mark.parametrize(("rotation", "generations"), [("1", [1]), ("2", [1, 2]), ("7", [6, 7])])
@pytest.mark.parametrize("kind", ["ServiceUser", "ProxyToken"])
def test_a_rotation_keeps_the_generation_before(
    monkeypatch: pytest.MonkeyPatch, kind: str, rotation: str, generations: list[int]
) -> None:
    made = deploy(monkeypatch, rotation=rotation)
    assert sorted(token.inputs["generation"] for token in made.of(kind)) == generations
    assert len({token.inputs["name"] for token in made.of(kind)}) == 1
    assert made.outputs[kind[0].lower() + kind[1:]]["tokenSecret"].endswith(f"-{rotation}")


def test_what_serves_is_protected_one_by_one_and_retained(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch, "production", protect="true", executorEnv={"A": "1"})
    kinds = ("Environment", "ServiceUser", "ProxyToken", "Secret", "App")
    assert {kind: (made.the(kind).protect, made.the(kind).retain) for kind in kinds} == dict.fromkeys(
        kinds, (True, True)
    )


def test_a_rotation_can_delete_the_oldest_token_of_a_protected_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch, "production", protect="true", rotation="2")
    for kind in ("ServiceUser", "ProxyToken"):
        old, new = sorted(made.of(kind), key=lambda token: token.inputs["generation"])
        assert (old.protect, old.retain) == (False, False)
        assert (new.protect, new.retain) == (True, True)
        assert old.name in new.needs, "so that a destroy that is refused stops before it"


def test_nothing_is_protected_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch)
    assert not [resource.name for resource in made.resources if resource.protect]
    assert [resource.name for resource in made.resources if resource.retain] == [made.the("Image").name]


def test_the_accounts_first_environment_outlives_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    assert deploy(monkeypatch, environment="main").the("Environment").retain
