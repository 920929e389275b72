"""Labels and addresses of web endpoints."""

import hashlib
from pathlib import Path

import pytest
from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.store.apps import App, Apps, Deployment, Layout
from local_modal.store.database import Database
from local_modal.store.environments import Environments
from local_modal.store.functions import Functions
from local_modal.web.address import MAX_LABEL, Addresses, label_of

ASGI = api_pb2.WEBHOOK_TYPE_ASGI_APP


def config(label: str = "", ephemeral: str = "") -> api_pb2.WebhookConfig:
    return api_pb2.WebhookConfig(type=ASGI, requested_suffix=label, ephemeral_suffix=ephemeral)


class World:
    """Stores, and apps that are deployed in them."""

    def __init__(self, path: Path) -> None:
        database = Database(path / "store.sqlite3")
        self.apps, self.functions, self.environments = Apps(database), Functions(database), Environments(database)
        for name in ("main", "staging"):
            self.environments.create(name)
        self.addresses = Addresses("Local", self.apps, self.functions, self.environments)

    def deploy(self, name: str, tag: str, definition: api_pb2.Function, environment: str = "main") -> App:
        """Version 1 of an app with one function."""
        app = self.apps.create(environment, name, api_pb2.APP_STATE_INITIALIZING)
        function = self.functions.reserve(app.app_id, tag)
        definition_id = self.functions.stage(function.function_id, definition)
        layout = Layout({tag: function.function_id}, {}, {function.function_id: definition_id})
        deployment = Deployment(app.app_id, 1, layout, 0.0, "", "", "", b"")
        self.apps.publish(deployment, name, api_pb2.APP_STATE_DEPLOYED)
        self.addresses.changed()
        found = self.apps.get(app.app_id)
        assert found is not None
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def methods(*names: str) -> api_pb2.Function:
    definition = api_pb2.Function()
    for name in names:
        definition.method_definitions[name].webhook_config.CopyFrom(config())
    return definition


def test_a_function_is_labelled_by_its_app_and_its_name() -> None:
    assert label_of("My_App", "some_Function", "", config(), ephemeral=False) == "my-app-some-function"


def test_a_method_is_labelled_by_its_class_too() -> None:
    assert label_of("app", "Gateway.*", "execute_block", config(), ephemeral=False) == "app-gateway-execute-block"


def test_what_no_host_can_contain_becomes_a_hyphen() -> None:
    assert label_of("a.b c", "f", "", config(), ephemeral=False) == "a-b-c-f"


def test_a_label_that_is_asked_for_stays_as_it_is() -> None:
    assert label_of("app", "f", "", config("own"), ephemeral=False) == "own"


def test_an_app_of_its_client_has_a_suffix() -> None:
    assert label_of("app", "f", "", config(), ephemeral=True) == "app-f-dev"
    assert label_of("app", "f", "", config("own", "mine"), ephemeral=True) == "own-mine"


@pytest.mark.parametrize("length", [MAX_LABEL - 1, MAX_LABEL, MAX_LABEL + 1, 200])
def test_a_long_label_is_cut_and_gets_digits_of_its_hash(length: int) -> None:
    whole = "a-" + "f" * (length - 2)
    label = label_of("a", "f" * (length - 2), "", config(), ephemeral=False)
    digits = hashlib.sha256(whole.encode()).hexdigest()[:6]
    assert label == (whole if length <= MAX_LABEL else f"{whole[:56]}-{digits}")


@pytest.mark.parametrize("label", ["Upper", "a_b", "-a", "a-", "a.b", "a b", "ü", "a/b"])
def test_a_label_that_no_host_can_have_is_refused(label: str) -> None:
    with pytest.raises(LocalModalError, match="a-z, 0-9"):
        label_of("app", "f", "", config(label), ephemeral=False)


def test_each_method_of_a_class_has_an_address(world: World) -> None:
    definition = methods("execute_block", "wsapp")
    definition.method_definitions["plain"].function_name = "plain"
    app = world.deploy("app", "Gateway.*", definition)
    assert world.addresses.of(app, "Gateway.*", definition) == {
        "execute_block": "local--app-gateway-execute-block",
        "wsapp": "local--app-gateway-wsapp",
    }
    endpoint = world.addresses.find("LOCAL--app-gateway-wsapp")
    assert endpoint is not None
    assert (endpoint.method, endpoint.definition.app_id) == ("wsapp", app.app_id)


def test_an_environments_suffix_is_part_of_the_address(world: World) -> None:
    world.deploy("app", "f", api_pb2.Function(webhook_config=config()), "staging")
    assert world.addresses.find("local-staging--app-f")
    world.environments.set_web_suffix("staging", "")
    world.addresses.changed()
    assert world.addresses.find("local--app-f")
    assert world.addresses.find("local-staging--app-f") is None


def test_a_stopped_apps_address_is_free(world: World) -> None:
    definition = api_pb2.Function(webhook_config=config("door"))
    app = world.deploy("app", "f", definition)
    thief = world.apps.create("main", "thief", api_pb2.APP_STATE_INITIALIZING)
    with pytest.raises(LocalModalError, match="is that of app 'app'"):
        world.addresses.check(thief, {"g": definition})
    world.addresses.check(app, {"f": definition})
    world.apps.set_state(app.app_id, api_pb2.APP_STATE_STOPPED)
    world.addresses.changed()
    assert world.addresses.find("local--door") is None
    world.addresses.check(thief, {"g": definition})


def test_the_same_label_in_another_environment_is_no_conflict(world: World) -> None:
    definition = api_pb2.Function(webhook_config=config("door"))
    world.deploy("app", "f", definition)
    other = world.apps.create("staging", "other", api_pb2.APP_STATE_INITIALIZING)
    world.addresses.check(other, {"f": definition})


def test_two_functions_of_an_app_can_not_share_an_address(world: World) -> None:
    definition = api_pb2.Function(webhook_config=config("door"))
    app = world.apps.create("main", "app", api_pb2.APP_STATE_INITIALIZING)
    with pytest.raises(LocalModalError, match="f and g have the same web address"):
        world.addresses.check(app, {"f": definition, "g": definition})
