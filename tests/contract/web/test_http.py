"""Web endpoints, called by HTTP and WebSocket clients as anyone uses them."""

import asyncio
import importlib.metadata
import json
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import aiohttp
import httpx
import modal
import pytest
from websockets.exceptions import InvalidStatus

from tests.contract.conftest import Deploy, LocalModal
from tests.contract.web.client import Urls, websocket
from tests.contract.web.conftest import APP


def test_the_deployment_shows_each_address_and_whether_it_is_open(deployed: str, url: Urls) -> None:
    joined = deployed.replace("│", "").replace("\n", "").replace(" ", "")
    assert url("Doors.execute_block") + "🔑" in joined
    assert url("open_door") + "(unauthenticated)" in joined


def test_addresses_are_formed_as_modals(url: Urls, environment: str) -> None:
    assert url("Doors.execute_block").endswith(f"local-{environment}--web-doors-doors-execute-block")
    assert url("open_door").endswith(f"local-{environment}--open-door")
    assert url("Doors.wsapp") == url("Doors.execute_block").replace("-execute-block", "-wsapp")


def test_an_application_sees_the_request_as_it_was_sent(url: Urls, http: httpx.Client) -> None:
    address = url("Doors.execute_block")
    seen = http.request("PATCH", address + "/a%20b/%C3%BC?x=%00&x=2", content=b"body").json()
    root = httpx.URL(address).path
    assert (seen["method"], seen["root_path"], seen["query"]) == ("PATCH", root, "x=%00&x=2")
    assert seen["path"] == f"{root}/a b/ü"
    assert (seen["size"], seen["body"], seen["scheme"]) == (4, "body", "http")
    names = [name for name, _ in seen["headers"]]
    assert "user-agent" in names
    assert not {"modal-key", "modal-secret", "connection"} & set(names)


def test_the_bare_address_is_the_applications_root(url: Urls, http: httpx.Client) -> None:
    address = url("Doors.execute_block")
    response = http.get(address)
    assert response.json()["path"] == httpx.URL(address).path + "/"
    assert response.headers.get_list("x-twice") == ["a", "b"]


def test_a_compressed_body_is_handed_on_as_it_is(url: Urls, http: httpx.Client) -> None:
    seen = http.post(
        url("Doors.execute_block"), content=b"\x1f\x8bno gzip", headers={"Content-Encoding": "gzip"}
    ).json()
    assert seen["body"] == "\x1f\x8bno gzip"
    assert ["content-encoding", "gzip"] in seen["headers"]


def test_a_large_body_comes_in_parts(url: Urls, http: httpx.Client) -> None:
    seen = http.post(url("Doors.execute_block"), content=b"x" * (20 << 20)).json()
    assert seen["size"] == 20 << 20
    assert seen["events"] > 5


def test_head_has_no_body_whatever_the_application_sends(url: Urls, token: dict[str, str]) -> None:
    address = httpx.URL(url("Doors.execute_block"))
    with closing(HTTPConnection(address.host, address.port or 80, timeout=60)) as connection:
        connection.request("HEAD", address.path, headers={**token, "Connection": "close"})
        assert connection.sock is not None
        with connection.sock.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b""


def test_both_directions_stream_at_once(url: Urls, token: dict[str, str]) -> None:
    assert asyncio.run(in_turns(url("Doors.execute_block") + "/upper", token)) == [b"ONE ", b"TWO ", b"THREE"]


async def in_turns(address: str, token: dict[str, str]) -> list[bytes]:
    """Sends each part after the answer to the one before."""
    answered = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        for part in (b"one ", b"two ", b"three"):
            yield part
            await asyncio.wait_for(answered.wait(), 30)
            answered.clear()

    async with (
        aiohttp.ClientSession(headers=token) as session,
        session.post(address, data=parts()) as response,
    ):
        found = []
        async for part in response.content.iter_any():
            found.append(part)
            answered.set()
    return found


def test_endpoints_without_proxy_auth_are_open(url: Urls) -> None:
    assert httpx.get(url("open_door"), timeout=60).status_code == 200


def test_several_requests_share_a_container(url: Urls, token: dict[str, str]) -> None:
    address = url("Doors.execute_block") + "/slow"

    async def both() -> list[str]:
        async with httpx.AsyncClient(timeout=60, headers=token) as client:
            answers = await asyncio.gather(client.get(address), client.get(address))
        return [answer.text for answer in answers]

    assert asyncio.run(both()) == ["2", "2"]


def test_a_wsgi_application_is_served(url: Urls) -> None:
    address = url("wsgi_door")
    response = httpx.post(address + "/a/b", content=b"body", timeout=60)
    assert (response.status_code, response.text) == (201, f"{httpx.URL(address).path}|/a/b|body")


def test_a_method_beside_the_endpoints_is_called_as_ever(url: Urls, environment: str) -> None:
    url("Doors.wsapp")
    assert modal.Cls.from_name(APP, "Doors", environment_name=environment)().plain.remote() == "plain"


@pytest.mark.usefixtures("local")
def test_an_endpoint_answers_under_its_host_too(url: Urls, http: httpx.Client) -> None:
    parts = httpx.URL(url("Doors.execute_block"))
    host = parts.path.removeprefix("/web/") + ".modal.localhost"
    seen = http.get(parts.copy_with(path="/x"), headers={"Host": f"{host}:{parts.port}"}).json()
    assert (seen["path"], seen["root_path"]) == ("/x", "")


def test_an_unknown_address_is_not_found(url: Urls, http: httpx.Client) -> None:
    assert http.get(url("Doors.execute_block") + "x").status_code == 404


# --- who may come in --------------------------------------------------------------------------------------------


def bearer(token: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {token['Modal-Key']}.{token['Modal-Secret']}"}


def test_both_forms_of_a_proxy_token_open_the_door(url: Urls, token: dict[str, str]) -> None:
    for headers in (token, bearer(token)):
        seen = httpx.get(url("Doors.execute_block"), headers=headers, timeout=60).json()
        assert token["Modal-Secret"] not in json.dumps(seen)


def test_without_a_token_or_with_half_or_a_wrong_one_nobody_comes_in(url: Urls, token: dict[str, str]) -> None:
    wrong = [
        {},
        {"Modal-Key": token["Modal-Key"]},
        {"Modal-Secret": token["Modal-Secret"]},
        {**token, "Modal-Secret": token["Modal-Secret"] + "x"},
        {**token, "Modal-Key": "wk-unknown"},
        {"Authorization": f"Basic {token['Modal-Key']}.{token['Modal-Secret']}"},
        {"Authorization": f"Bearer {token['Modal-Key']}"},
        bearer({**token, "Modal-Secret": "ws-wrong"}),
    ]
    statuses = [httpx.get(url("Doors.execute_block"), headers=headers, timeout=60).status_code for headers in wrong]
    assert statuses == [401] * len(wrong)
    for headers in wrong:
        with pytest.raises(InvalidStatus) as refused:
            websocket(url("Doors.wsapp"), headers)
        assert refused.value.response.status_code == 401


def test_an_accounts_token_is_no_proxy_token(url: Urls, local: LocalModal) -> None:
    variables = local.client_env()
    headers = {"Modal-Key": variables["MODAL_TOKEN_ID"], "Modal-Secret": variables["MODAL_TOKEN_SECRET"]}
    assert httpx.get(url("Doors.execute_block"), headers=headers, timeout=60).status_code == 401


def test_a_scoped_token_opens_the_doors_of_its_environments(url: Urls, environment: str) -> None:
    tokens = modal.Workspace.from_context().proxy_tokens
    made = tokens.create()
    headers = {"Modal-Key": made.token_id, "Modal-Secret": made.token_secret}
    other = f"{environment}-other"
    modal.Environment.objects.create(other)
    statuses = []
    try:
        for change, name in ((tokens.allow, other), (tokens.allow, environment), (tokens.revoke, environment)):
            change(made.token_id, environment_name=name)
            statuses.append(httpx.get(url("Doors.execute_block"), headers=headers, timeout=60).status_code)
        tokens.delete(made.token_id)
        statuses.append(httpx.get(url("Doors.execute_block"), headers=headers, timeout=60).status_code)
    finally:
        modal.Environment.objects.delete(other)
    assert statuses == [401, 200, 401, 401]


# --- parameters -------------------------------------------------------------------------------------------------


def test_class_parameters_come_in_the_query_as_plain_data(url: Urls) -> None:
    address = url("Session.door") + "/who"
    for odd in ("a", "a b", "ü", "\0", "a&b=c", "../..", "x" * 2000, "' OR 1=1", "%41", ""):
        found = httpx.get(address, params={"workspace_id": odd}, timeout=60).json()
        assert found == [odd, 3, 1]


def test_parameters_have_types_and_defaults(url: Urls) -> None:
    address = url("Session.door") + "/who"
    assert httpx.get(address, params={"workspace_id": "a", "count": "-7"}, timeout=60).json() == ["a", -7, 1]


@pytest.mark.parametrize(
    "query", ["", "?workspace=a", "?workspace_id=a&workspace_id=a", "?workspace_id=a&count=b", "?workspace_id=%ff"]
)
def test_a_missing_or_doubtful_parameter_is_refused(url: Urls, query: str) -> None:
    response = httpx.get(url("Session.door") + "/who" + query, timeout=60)
    assert response.status_code == 400
    assert response.text.count("\n") == 1


# --- what containers may ----------------------------------------------------------------------------------------


def test_a_trusted_container_calls_another_class(url: Urls, http: httpx.Client) -> None:
    assert http.get(url("Doors.execute_block") + "/inner").json() == 3


def test_a_restricted_container_calls_nothing(url: Urls) -> None:
    response = httpx.get(url("Session.door") + "/inner", params={"workspace_id": "a"}, timeout=60)
    assert "Error" in response.text


# --- FastAPI ----------------------------------------------------------------------------------------------------

REST = """
    import modal

    app = modal.App("web-rest")
    image = modal.Image.debian_slim(python_version="3.11").uv_pip_install("fastapi=={version}")


    @app.function(image=image)
    @modal.fastapi_endpoint(method="POST", docs=True)
    def double(number: int):
        return {{"double": 2 * number}}


    @app.cls(image=image, enable_memory_snapshot=True, single_use_containers=True, restrict_modal_access=True)
    class Scaled:
        factor: int = modal.parameter()

        @modal.fastapi_endpoint()
        def scale(self, number: int):
            return self.factor * number

        @modal.asgi_app()
        def routes(self):
            from fastapi import FastAPI, Request

            web = FastAPI()

            @web.get("/where", name="where")
            def where(request: Request):
                return [str(request.url), str(request.url_for("where"))]

            return web
"""


@pytest.fixture(scope="module")
def rest(deploy: Deploy, environment: str) -> dict[str, str]:
    deploy(REST.format(version=importlib.metadata.version("fastapi")))
    scaled: Any = modal.Cls.from_name("web-rest", "Scaled", environment_name=environment)(factor=1)
    found = {name: str(getattr(scaled, name).get_web_url()) for name in ("scale", "routes")}
    double = modal.Function.from_name("web-rest", "double", environment_name=environment)
    return found | {"double": str(double.get_web_url())}


def test_a_function_is_an_endpoint_by_fastapi(rest: dict[str, str]) -> None:
    answer = httpx.post(rest["double"], params={"number": 21}, timeout=60)
    assert answer.json() == {"double": 42}
    assert httpx.get(rest["double"], timeout=60).status_code == 405
    assert httpx.post(rest["double"], params={"number": "x"}, timeout=60).status_code == 422
    assert httpx.get(rest["double"] + "/openapi.json", timeout=60).json()["paths"].keys() == {"/"}


def test_a_query_has_parameters_of_the_class_and_of_the_endpoint(rest: dict[str, str]) -> None:
    assert httpx.get(rest["scale"], params={"factor": 3, "number": 4}, timeout=60).json() == 12


def test_a_framework_builds_links_that_lead_back(rest: dict[str, str]) -> None:
    address = rest["routes"] + "/where"
    shown, built = httpx.get(address, params={"factor": 3}, timeout=60).json()
    assert (shown, built) == (address + "?factor=3", address)


# --- deployments ------------------------------------------------------------------------------------------------

SMALL = """
    import modal

    app = modal.App("{app}")
    image = modal.Image.debian_slim(python_version="3.11")


    @app.function(image=image)
    @modal.asgi_app({options})
    def door():
        async def answer(scope, receive, send):
            if scope["type"] == "http":
                await send({{"type": "http.response.start", "status": 200, "headers": []}})
                await send({{"type": "http.response.body", "body": b"{answer}"}})

        return answer
"""


def test_stopping_and_rolling_back_act_on_addresses(
    deploy: Deploy, cli: Callable[..., Any], environment: str, http: httpx.Client
) -> None:
    deploy(SMALL.format(app="web-small", options="", answer="one"))
    address = str(modal.Function.from_name("web-small", "door", environment_name=environment).get_web_url())
    answers = [http.get(address).text]
    deploy(SMALL.format(app="web-small", options="", answer="two"))
    answers.append(http.get(address).text)
    cli("app", "rollback", "web-small")
    answers.append(http.get(address).text)
    cli("app", "stop", "web-small", "--yes")
    assert (answers, http.get(address).status_code) == (["one", "two", "one"], 404)


def test_a_label_of_another_app_is_refused(deploy: Deploy) -> None:
    refused = deploy(SMALL.format(app="web-thief", options="label='open-door'", answer=""), check=False)
    assert refused.returncode
    assert "is that of app 'web-doors'" in refused.stdout + refused.stderr


def test_a_server_of_its_own_is_refused_at_deploy(deploy: Deploy) -> None:
    source = SMALL.format(app="web-server", options="", answer="").replace("modal.asgi_app()", "modal.web_server(80)")
    refused = deploy(source, check=False)
    assert "modal.web_server" in refused.stdout + refused.stderr


@pytest.mark.usefixtures("local")
def test_an_environments_suffix_is_part_of_its_addresses(
    deploy: Deploy, environment: str, cli: Callable[..., Any]
) -> None:
    deploy(SMALL.format(app="web-suffix", options="", answer="x"))
    address = str(modal.Function.from_name("web-suffix", "door", environment_name=environment).get_web_url())
    cli("environment", "update", environment, "--set-web-suffix", "sfx")
    try:
        other = str(modal.Function.from_name("web-suffix", "door", environment_name=environment).get_web_url())
        statuses = [httpx.get(address, timeout=60).status_code, httpx.get(other, timeout=60).status_code]
    finally:
        cli("environment", "update", environment, "--set-web-suffix", environment)
    assert other.endswith("local-sfx--web-suffix-door")
    assert statuses == [404, 200]
