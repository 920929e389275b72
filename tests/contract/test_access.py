"""Service users and proxy tokens: what each role may do, RPC by RPC, and what it may not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from uuid import uuid4

import grpclib.client
import modal
import modal.exception
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpclib import GRPCError, Status

from local_modal.rpc import access
from local_modal.rpc.access import Level
from local_modal.rpc.transport import SERVICE
from tests.contract.conftest import Deploy, LocalModal, connected, lookup

APP = """
    import os

    import modal

    app = modal.App("guarded")


    @app.cls(image=modal.Image.debian_slim(python_version="3.11"), timeout=20, single_use_containers=True)
    class Box:
        name: str = modal.parameter()

        @modal.method()
        def echo(self, value):
            return value


    @app.function(image=modal.Image.debian_slim(python_version="3.11"), timeout=20)
    def where():
        return os.environ["MODAL_TASK_ID"]
"""
ROLES = ("no-access", "viewer", "contributor")
METHODS = {method.name: method for method in SERVICE.methods}
needs_service_users = pytest.mark.needs_client("Workspace.service_users")


@pytest.fixture
def user(connection: LocalModal | None) -> Iterator[tuple[str, modal.Client]]:  # noqa: ARG001 - sets the client up
    """A service user of the test's own, without any role, and a client with its token."""
    workspace = modal.Workspace.from_context()
    name = f"user-{uuid4().hex[:8]}"
    token = workspace.service_users.create(name, expires_in=3600)
    try:
        with connected(token.token_id, token.token_secret) as client:
            yield name, client
    finally:
        workspace.service_users.delete(name, allow_missing=True)


def give(name: str, environment: str, role: str) -> None:
    modal.Workspace.from_context().service_users.set_role(name, environment, role=role)


def box(client: modal.Client, environment: str) -> modal.cls.Obj:
    return modal.Cls.from_name("guarded", "Box", environment_name=environment, client=client)(name="a")


@needs_service_users
def test_a_new_service_user_reaches_nothing(deploy: Deploy, environment: str, user: tuple[str, modal.Client]) -> None:
    deploy(APP)
    with pytest.raises(modal.exception.PermissionDeniedError):
        box(user[1], environment).echo.remote(1)


@needs_service_users
def test_a_contributor_calls_and_a_viewer_does_not(
    deploy: Deploy, environment: str, user: tuple[str, modal.Client]
) -> None:
    deploy(APP)
    name, client = user
    give(name, environment, "viewer")
    with pytest.raises(modal.exception.PermissionDeniedError, match="contributor"):
        box(client, environment).echo.remote(1)
    give(name, environment, "contributor")
    assert box(client, environment).echo.remote(1) == 1
    give(name, environment, "no-access")
    with pytest.raises(modal.exception.PermissionDeniedError):
        box(client, environment).echo.remote(1)


@needs_service_users
def test_a_role_in_one_environment_is_none_in_another(
    deploy: Deploy, cli: Callable[..., CompletedProcess[str]], environment: str, user: tuple[str, modal.Client]
) -> None:
    other = f"other-{uuid4().hex[:8]}"
    cli("environment", "create", other)
    try:
        deploy(APP)
        name, client = user
        give(name, other, "contributor")
        with pytest.raises(modal.exception.PermissionDeniedError, match=environment):
            box(client, environment).echo.remote(1)
        seen = {entry.name for entry in modal.Environment.objects.list(client=client)}
        assert seen == {other}
    finally:
        cli("environment", "delete", other, "--yes")


@needs_service_users
def test_deleting_a_service_user_ends_its_token_at_once(
    deploy: Deploy, environment: str, user: tuple[str, modal.Client]
) -> None:
    deploy(APP)
    name, client = user
    give(name, environment, "contributor")
    assert box(client, environment).echo.remote(1) == 1
    modal.Workspace.from_context().service_users.delete(name)
    with pytest.raises(modal.exception.AuthError):
        box(client, environment).echo.remote(1)


@needs_service_users
def test_service_users_are_listed_with_their_roles_and_without_their_secrets(
    environment: str, user: tuple[str, modal.Client]
) -> None:
    name, _ = user
    give(name, environment, "viewer")
    info = modal.Workspace.from_context().service_users.info(name)
    assert environment in repr(info)
    assert "as-" not in repr(info)
    roles = modal.Environment.from_name(environment).roles.list()
    assert roles["service_users"][name] == "viewer"


@needs_service_users
def test_a_name_is_given_once(user: tuple[str, modal.Client]) -> None:
    with pytest.raises(modal.exception.AlreadyExistsError):
        modal.Workspace.from_context().service_users.create(user[0], expires_in=None)


def test_proxy_tokens_are_given_environments_and_lose_them(environment: str) -> None:
    tokens = modal.Workspace.from_context().proxy_tokens
    token = tokens.create(name="door")
    try:
        tokens.allow(token.token_id, environment)
        (listed,) = [entry for entry in tokens.list(environment_name=environment) if entry.token_id == token.token_id]
        assert (listed.name, listed.scoped) == ("door", True)
        assert token.token_secret not in repr(listed)
        tokens.revoke(token.token_id, environment)
        assert token.token_id not in {entry.token_id for entry in tokens.list(environment_name=environment)}
    finally:
        tokens.delete(token.token_id)
    assert token.token_id not in {entry.token_id for entry in tokens.list()}


def test_a_published_image_is_found_by_its_name_in_its_environment_only(deploy: Deploy, environment: str) -> None:
    app = modal.App.lookup("publisher", environment_name=environment, create_if_missing=True)
    image = modal.Image.debian_slim(python_version="3.11").build(app)
    image.publish("tested:v1", environment_name=environment)
    deploy(APP.replace('modal.Image.debian_slim(python_version="3.11")', 'modal.Image.from_name("tested:v1")'))
    assert lookup("guarded", "Box", environment, name="a").echo.remote(2) == 2
    missing = deploy(
        APP.replace('modal.Image.debian_slim(python_version="3.11")', 'modal.Image.from_name("tested:v2")'), check=False
    )
    assert "tested:v2" in missing.stdout + missing.stderr


class Caller:
    """Raw RPCs with one token: what the client wouldn't send, too."""

    def __init__(self, url: str, token_id: str, token_secret: str) -> None:
        self._port = int(url.rpartition(":")[2])
        self._metadata = {"x-modal-token-id": token_id, "x-modal-token-secret": token_secret}

    async def call(self, rpc: str, **fields: object) -> Message:
        """The answer; of a stream, the first message."""
        method = METHODS[rpc]
        request_type, response_type = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        kind = grpclib.client.UnaryStreamMethod if method.server_streaming else grpclib.client.UnaryUnaryMethod
        scalars = {field.name for field in request_type.DESCRIPTOR.fields if field.message_type is None}
        known = {name: value for name, value in fields.items() if name in scalars}
        async with grpclib.client.Channel("127.0.0.1", self._port) as channel:
            path = f"/{SERVICE.full_name}/{rpc}"
            answer = await kind(channel, path, request_type, response_type)(
                request_type(**known), metadata=self._metadata, timeout=10
            )
        message: Message = answer[0] if isinstance(answer, list) and answer else answer
        return message


@dataclass(frozen=True)
class Scene:
    """An environment with an app in it, its owner, and a service user for each role."""

    owner: Caller
    users: dict[str, Caller]
    objects: dict[str, object]


@pytest.fixture(scope="module")
def scene(connection: LocalModal | None, deploy: Deploy, environment: str) -> Iterator[Scene]:
    if connection is None:
        pytest.skip("NOT RUN on Modal itself: raw RPCs")
    deploy(APP)
    variables = connection.client_env()
    url = variables["MODAL_SERVER_URL"]
    service_users = modal.Workspace.from_context().service_users
    users = {}
    for role in ROLES:
        token = service_users.create(f"table-{role}", expires_in=3600)
        service_users.set_role(f"table-{role}", environment, role=role)
        users[role] = Caller(url, token.token_id, token.token_secret)
    call = lookup("guarded", "Box", environment, name="a").echo.spawn(1)
    objects: dict[str, object] = {
        "environment_name": environment,
        "app_name": "guarded",
        "object_tag": "Box",
        "function_call_id": call.object_id,
        "function_call_jwt": call.object_id,
        "tag": f"{environment}/table:v1",
        "name": "guarded",
    }
    yield Scene(Caller(url, variables["MODAL_TOKEN_ID"], variables["MODAL_TOKEN_SECRET"]), users, objects)
    for role in ROLES:
        service_users.delete(f"table-{role}")


async def targets(scene: Scene, rpc: str) -> dict[str, object]:
    """What the RPC is called about: fresh objects, so that one row of the table can't spoil the next."""
    environment = scene.objects["environment_name"]
    app_id = (await scene.owner.call("AppCreate", description="fresh", environment_name=environment)).app_id  # type: ignore[attr-defined]
    function = await scene.owner.call("FunctionPrecreate", app_id=app_id, function_name=rpc)
    secret = await scene.owner.call(
        "SecretGetOrCreate", deployment_name=f"s-{rpc}", environment_name=environment, object_creation_type=3
    )
    return {
        **scene.objects,
        "app_id": app_id,
        "function_id": function.function_id,  # type: ignore[attr-defined]
        "secret_id": secret.secret_id,  # type: ignore[attr-defined]
        "deployment_name": environment if rpc.startswith("Environment") else f"s-{rpc}",
        "timeout": 0.1,
    }


ABOUT_CONTAINERS = {"ContainerStop", "TaskGetInfo"}
SCOPED = sorted(
    name for name, level in access.ACCOUNT.items() if level is not Level.ANY and name not in ABOUT_CONTAINERS
)


@needs_service_users
@pytest.mark.parametrize("role", ROLES)
async def test_a_role_reaches_the_containers_of_its_environment_only(scene: Scene, role: str) -> None:
    call = modal.FunctionCall.from_id(str(scene.objects["function_call_id"]))
    assert await call.get.aio(timeout=40) == 1
    variables = modal.Function.from_name("guarded", "where", environment_name=str(scene.objects["environment_name"]))
    task_id = await variables.remote.aio()
    allowed = {"no-access": set(), "viewer": {"TaskGetInfo"}, "contributor": {"TaskGetInfo", "ContainerStop"}}[role]
    for rpc in ("TaskGetInfo", "ContainerStop"):
        try:
            await scene.users[role].call(rpc, task_id=task_id)
            reached = True
        except GRPCError as error:
            reached = error.status is not Status.PERMISSION_DENIED
        assert reached is (rpc in allowed), rpc


@needs_service_users
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("rpc", SCOPED)
async def test_a_role_reaches_exactly_the_rpcs_that_its_level_is_enough_for(scene: Scene, rpc: str, role: str) -> None:
    needed = access.ACCOUNT[rpc]
    enough = {"no-access": Level.ANY, "viewer": Level.VIEWER, "contributor": Level.CONTRIBUTOR}[role]
    allowed = role == "contributor" if needed is Level.OWN else enough >= needed
    fields = await targets(scene, rpc)
    try:
        await scene.users[role].call(rpc, **fields)
        denied = False
    except GRPCError as error:
        denied = error.status is Status.PERMISSION_DENIED
    assert denied is not allowed


def test_every_served_rpc_has_its_line_in_the_tables() -> None:
    document = (Path(__file__).parents[2] / "docs/local-modal.md").read_text()
    served = set(document.split("<!-- served -->")[1].replace(",", " ").replace("`", " ").split())
    assert served == set(access.ACCOUNT) | access.CONTAINER_ONLY
