"""What holds for every resource at Modal: previews, secrets, errors that keep the state, and no configuration."""

from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2 as pb

from infra.modal_provider.process import RESOURCES
from infra.modal_provider.values import UNKNOWN, decode, encode
from tests.unit.infra.modal_provider import driver
from tests.unit.infra.modal_provider.conftest import Account
from tests.unit.infra.modal_provider.driver import Provider, Refused, State

VALID: dict[str, dict[str, Any]] = {
    "Environment": {"name": "one"},
    "Secret": {"name": "one", "environment": "main", "values": {"A": "canary"}},
    "ProxyToken": {"name": "one", "environments": ["main"]},
    "ServiceUser": {"name": "one", "roles": {"main": "viewer"}},
    "Image": {"tag": "one:v1", "environment": "main", "sourceHash": "one"},
    "App": {"name": "one", "environment": "main", "settings": {}, "sourceHash": "one"},
}
IDS = {"ProxyToken": "wk-one", "ServiceUser": "one-1", "Environment": "one", "Image": "main/one:v1"}
KINDS = pytest.mark.parametrize("kind", [resource.kind for resource in RESOURCES if resource.at_modal])


def state_of(provider: Provider, kind: str) -> State:
    return State(kind, IDS.get(kind, "main/one"), VALID[kind], provider.checked(kind, VALID[kind]))


@KINDS
def test_a_preview_of_a_new_one_makes_nothing_and_knows_no_outputs(provider: Provider, kind: str) -> None:
    resource = next(resource for resource in RESOURCES if resource.kind == kind)
    foreseen = provider.create(kind, VALID[kind], preview=True)
    assert foreseen.id == ""
    assert {key: foreseen.outputs[key] for key in resource.outputs} == dict.fromkeys(resource.outputs, UNKNOWN)
    assert provider.read(state_of(provider, kind)) is None


@KINDS
def test_a_preview_of_an_update_knows_what_stays(provider: Provider, kind: str) -> None:
    resource = next(resource for resource in RESOURCES if resource.kind == kind)
    outputs = dict.fromkeys(resource.outputs, "before")
    state = State(kind, "x", VALID[kind], encode({**VALID[kind], **outputs}, ()))
    foreseen = provider.update(state, VALID[kind], preview=True).outputs
    for key, output in resource.outputs.items():
        assert foreseen[key] == (UNKNOWN if output.changes else "before")


@KINDS
def test_values_that_are_not_known_yet_are_no_mistakes(provider: Provider, kind: str) -> None:
    unknown = dict.fromkeys(VALID[kind], UNKNOWN)
    assert provider.failures(kind, unknown) == {}
    foreseen = provider.create(kind, unknown, preview=True)
    assert all(foreseen.outputs[key] is UNKNOWN for key in unknown)


def test_a_value_that_is_not_known_yet_is_a_change(provider: Provider) -> None:
    diff = provider.diff("Secret", VALID["Secret"], {**VALID["Secret"], "environment": UNKNOWN})
    assert list(diff.replaces) == ["environment"]
    assert diff.deleteBeforeReplace


def test_a_change_that_the_program_ignores_is_none(provider: Provider) -> None:
    old, new = VALID["App"], {**VALID["App"], "sourceHash": "two"}
    request = pb.DiffRequest(
        urn=provider.urn("App"),
        old_inputs=provider.checked("App", old),
        news=provider.checked("App", new),
        ignoreChanges=["sourceHash"],
    )
    assert provider.stub.Diff(request).changes == pb.DiffResponse.DIFF_NONE


def test_what_the_program_marks_secret_stays_so(provider: Provider) -> None:
    inputs = encode(VALID["App"], ["settings"])
    checked = provider.stub.Check(pb.CheckRequest(urn=provider.urn("App"), news=inputs)).inputs
    assert decode(checked).secret == {"settings"}
    request = pb.CreateRequest(urn=provider.urn("App"), properties=checked, preview=True)
    assert decode(provider.stub.Create(request).properties).secret == {"settings"}


@pytest.fixture(scope="module")
def unreachable(account: Account, modules: dict[str, str]) -> Any:
    with driver.provider({**account.variables, **modules, "MODAL_SERVER_URL": "http://127.0.0.1:1"}) as running:
        yield running


@KINDS
def test_a_state_survives_that_modal_can_not_be_reached(unreachable: Provider, kind: str) -> None:
    with pytest.raises(Refused, match=r"Modal can't be reached at http://127\.0\.0\.1:1 .*check the network"):
        unreachable.read(state_of(unreachable, kind))


@pytest.fixture(scope="module")
def stranger(account: Account, modules: dict[str, str]) -> Any:
    with driver.provider({**account.variables, **modules, "MODAL_TOKEN_SECRET": "as-canary-expired"}) as running:
        yield running


@KINDS
def test_a_state_survives_credentials_that_have_expired(stranger: Provider, kind: str) -> None:
    with pytest.raises(Refused, match=r"Modal doesn't accept the credentials .*set MODAL_TOKEN_ID") as refused:
        stranger.read(state_of(stranger, kind))
    assert "canary" not in str(refused.value)
    with pytest.raises(Refused, match=r"Modal doesn't accept the credentials"):
        stranger.delete(state_of(stranger, kind))


def test_missing_credentials_are_named(account: Account) -> None:
    variables = {"MODAL_SERVER_URL": account.variables["MODAL_SERVER_URL"], "MODAL_CONFIG_PATH": "/dev/null"}
    with (
        driver.provider(variables) as running,
        pytest.raises(Refused, match=r"set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET"),
    ):
        running.create("Environment", VALID["Environment"])


@pytest.fixture(scope="module")
def viewer(provider: Provider, account: Account, modules: dict[str, str]) -> Any:
    """A provider with the token of a service user who may only look, and only at `main`."""
    user = provider.create("ServiceUser", {"name": "viewer", "roles": {"main": "viewer"}})
    token = {"MODAL_TOKEN_ID": user.outputs["tokenId"], "MODAL_TOKEN_SECRET": user.outputs["tokenSecret"]}
    with driver.provider({**account.variables, **modules, **token}) as running:
        yield running
    provider.delete(user)


def test_what_the_token_may_not_see_stays_in_the_state(viewer: Provider, environment: str) -> None:
    state = State(
        "Environment", environment, {"name": environment}, viewer.checked("Environment", VALID["Environment"])
    )
    with pytest.raises(Refused, match=r"Modal refuses this to the token in use"):
        viewer.read(state)


@pytest.mark.parametrize("kind", ["ServiceUser", "ProxyToken"])
def test_what_only_a_manager_may_see_is_kept_for_others_with_a_warning(
    viewer: Provider, provider: Provider, environment: str, kind: str
) -> None:
    scope = {"roles": {environment: "viewer"}} if kind == "ServiceUser" else {"environments": [environment]}
    state = provider.create(kind, {"name": "managed", **scope})
    try:
        read = viewer.read(state)
        assert read is not None
        assert (read.id, read.properties) == (state.id, state.properties)
        assert any("taken as the state says" in line for line in viewer.engine.seen)
        with pytest.raises(Refused, match=r"Modal refuses this to the token in use"):
            viewer.read(State(kind, state.id, state.inputs, encode({}, ())))
    finally:
        provider.delete(state)


@pytest.mark.parametrize(
    ("kind", "inputs", "setting"),
    [
        ("Environment", {"name": "new", "restricted": True}, "restricted"),
        ("ProxyToken", VALID["ProxyToken"], "proxyToken"),
        ("ServiceUser", VALID["ServiceUser"], "serviceUser"),
    ],
)
def test_a_feature_that_modal_refuses_is_named_with_the_setting_that_leaves_it_out(
    viewer: Provider, kind: str, inputs: dict[str, Any], setting: str
) -> None:
    with pytest.raises(Refused, match=rf"Modal refuses a .* `pulumi config set {setting} false`"):
        viewer.create(kind, inputs)


def test_a_type_that_there_is_not_is_refused_with_those_that_there_are(provider: Provider) -> None:
    with pytest.raises(Refused, match=r"modal:index:Volume is no resource of this provider; it has .*Environment"):
        provider.check("Volume", {})


def test_credentials_as_configuration_are_refused(provider: Provider) -> None:
    news = encode({"tokenSecret": "canary", "version": "1.0.0"}, ())
    failures = provider.stub.CheckConfig(pb.CheckRequest(urn="urn", news=news)).failures
    assert [failure.property for failure in failures] == ["tokenSecret"]
    assert "MODAL_TOKEN_SECRET" in failures[0].reason
    assert "canary" not in failures[0].reason


def test_it_greets_the_engine(provider: Provider) -> None:
    assert provider.stub.Handshake(pb.ProviderHandshakeRequest()).accept_secrets
    configured = provider.stub.Configure(pb.ConfigureRequest())
    assert (configured.acceptSecrets, configured.supportsPreview) == (True, True)
    assert provider.stub.GetPluginInfo(empty_pb2.Empty()).version == "1.0.0"
    assert '"name": "modal"' in provider.stub.GetSchema(pb.GetSchemaRequest()).schema
    assert provider.stub.DiffConfig(pb.DiffRequest()).changes == pb.DiffResponse.DIFF_NONE


def test_what_pulumi_may_leave_out_is_answered_as_the_protocol_says(provider: Provider) -> None:
    with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
        provider.stub.Invoke(pb.InvokeRequest(tok="modal:index:nothing"))
