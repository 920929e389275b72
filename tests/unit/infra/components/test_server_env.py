"""A server's variables are those that the stack decides; the deployer's own environment adds the address alone."""

from infra.app_facts import app_facts
from infra.components.server_env import server_env
from infra.settings import read_settings


def variables(environ: dict[str, str], **values: str) -> dict[str, str]:
    return server_env(read_settings("staging", values, (), app_facts()), environ)


def test_the_address_is_there_only_where_modal_is_another_one() -> None:
    assert "MODAL_SERVER_URL" not in variables({})
    assert "MODAL_SERVER_URL" not in variables({"MODAL_SERVER_URL": ""})
    assert variables({"MODAL_SERVER_URL": "http://x"})["MODAL_SERVER_URL"] == "http://x"


def test_a_server_goes_past_the_proxy_where_the_deployer_went_past_it() -> None:
    direct = {"MODAL_DISABLE_API_PROXY": "1"}
    assert variables({"MODAL_SERVER_URL": "http://x", **direct}).items() >= direct.items()
    assert "MODAL_DISABLE_API_PROXY" not in variables(direct)


def test_no_credential_is_among_them() -> None:
    given = variables({"MODAL_TOKEN_ID": "ak-deployer", "MODAL_TOKEN_SECRET": "as-deployer"})
    assert "deployer" not in str(given)
    assert not {"MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"} & given.keys()


def test_code_never_runs_on_the_server_itself() -> None:
    assert variables({})["ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS"] == "False"


def test_the_stack_decides_on_anonymous_requests() -> None:
    assert variables({})["MODAL_ALLOW_ANONYMOUS_EXECUTION"] == "False"
    assert variables({}, anonymous="allow")["MODAL_ALLOW_ANONYMOUS_EXECUTION"] == "True"
