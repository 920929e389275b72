"""modal:index:App: a module that defines an app, deployed by Modal's own client with the settings of the stack."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

import modal
from modal_proto import api_pb2

from infra.modal_provider.client import call
from infra.modal_provider.command import PYTHON_MODULE, PYTHON_MODULE_RULE, SETTING, SETTING_RULE, run_module
from infra.modal_provider.properties import Output, Property, object_name, required, text, text_map, texts
from infra.modal_provider.resource import Operation, ProviderError, Reading, Resource, Values

SECRETS_VARIABLE = "CUSTOM_BLOCKS_SECRETS"
IMAGE_TAG_VARIABLE = "CUSTOM_BLOCKS_IMAGE_TAG"
URL = re.compile(r"View Deployment:\s*(\S+)")
"""How `modal deploy` ends (modal/runner.py)."""
HASH_CHARS = 16

Deployment = api_pb2.AppDeploymentHistory


class App(Resource):
    """A deployment carries a hash of what it was made of as its tag, by which one of somebody else's is told apart."""

    kind = "App"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": required(object_name()).with_(replaces=True),
        "environment": required(object_name()).with_(replaces=True),
        "settings": required(text_map(SETTING, SETTING_RULE)),
        "secrets": texts().with_(default=[]),
        "imageTag": text(),
        "sourceHash": required(text()),
        "versions": text_map().with_(default={}),
        "module": text(PYTHON_MODULE, PYTHON_MODULE_RULE).with_(default="modal_app.app"),
    }
    outputs: ClassVar[Mapping[str, Output]] = {
        "appId": Output(),
        "version": Output(changes=True),
        "url": Output(changes=True),
        "endpoints": Output(changes=True),
        "deployedAt": Output(changes=True),
    }
    identity = ("environment", "name")

    def create(self, op: Operation) -> tuple[str, Values]:
        inputs = op.inputs
        parts = {SECRETS_VARIABLE: ",".join(inputs["secrets"]), IMAGE_TAG_VARIABLE: inputs.get("imageTag", "")}
        settings = {**inputs["settings"], **{key: value for key, value in parts.items() if value}}
        where = ["--env", inputs["environment"], "--name", inputs["name"], "--tag", deployment_tag(inputs)]
        lines = run_module(["modal", "deploy", "-m", inputs["module"], *where], inputs["environment"], settings, op)
        app = _find(inputs)
        live = _live(app)
        if app is None or live is None:
            raise ProviderError("the deployment went through, but Modal has no such app: deploy again")
        url = URL.search(" ".join(lines))
        shown = url[1] if url else app.get_dashboard_url()
        return self.id_of(inputs), {**_outputs(live), "url": shown, "endpoints": _endpoints(inputs, live.app_id)}

    def read(self, op: Operation) -> Reading | None:
        identity = self.identify(op.id)
        app = _find(identity)
        live = _live(app)
        if app is None or live is None:
            return None
        found = self.with_defaults({"settings": {}, **op.inputs, **identity})
        if live.tag != deployment_tag(found):
            found["sourceHash"] = f"(something else is live: {_describe(live)})"
        endpoints = _endpoints(identity, live.app_id)
        outputs = {"url": app.get_dashboard_url(), **op.old, **_outputs(live), "endpoints": endpoints}
        return Reading(found, outputs)

    def update(self, op: Operation) -> Values:
        return self.create(op)[1]

    def delete(self, op: Operation) -> None:
        app = _find(self.identify(op.id))
        if app is not None:
            app.stop()


def deployment_tag(inputs: Values) -> str:
    """A hash of all that makes the deployment; letters, digits and '-', as Modal allows in a tag."""
    made_of = {key: value for key, value in inputs.items() if value not in ({}, [], None)}
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return f"stack-{digest[:HASH_CHARS]}"


def _find(identity: Values) -> modal.App | None:
    environment = modal.Environment.from_name(identity["environment"])
    return next((app for app in environment.apps.list() if app.name == identity["name"]), None)


def _live(app: modal.App | None) -> Deployment | None:
    """What is live now, from the history of deployments, which no public object offers; None before the first."""
    if app is None:
        return None
    request = api_pb2.AppDeploymentHistoryRequest(app_id=app.app_id or "")
    history = call("AppDeploymentHistory", request, api_pb2.AppDeploymentHistoryResponse)
    return max(history.app_deployment_histories, key=lambda entry: entry.version, default=None)


def _endpoints(identity: Values, app_id: str) -> dict[str, str]:
    """Addresses of its web endpoints, by `function` or `Class.method`: as Modal's own client looks them up.

    The app's layout has the names, a class under `Class.*`, and the handle of each the address (modal/cls.py).
    """
    layout = call("AppGetLayout", api_pb2.AppGetLayoutRequest(app_id=app_id), api_pb2.AppGetLayoutResponse).app_layout
    found = {}
    for name in sorted(layout.function_ids):
        request = api_pb2.FunctionGetRequest(
            app_name=identity["name"], object_tag=name, environment_name=identity["environment"]
        )
        handle = call("FunctionGet", request, api_pb2.FunctionGetResponse).handle_metadata
        methods = {name.replace("*", method): each.web_url for method, each in handle.method_handle_metadata.items()}
        found.update({name: handle.web_url, **methods})
    return {name: url for name, url in sorted(found.items()) if url}


def _outputs(live: Deployment) -> Values:
    at = datetime.fromtimestamp(live.deployed_at, UTC).isoformat(timespec="seconds")
    return {"appId": live.app_id, "version": live.version, "deployedAt": at}


def _describe(live: Deployment) -> str:
    how = f"rolled back to v{live.rollback_version}" if live.rollback_version else f"deployed by {live.deployed_by}"
    return f"v{live.version}, {how}"
