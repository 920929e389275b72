"""modal:index:Secret: environment variables that functions are given. Modal never shows the values again."""

from collections.abc import Mapping
from typing import ClassVar

import modal
from modal import exception as modal_errors
from modal_proto import api_pb2

from infra.modal_provider.client import call
from infra.modal_provider.properties import Output, Property, object_name, required, text_map
from infra.modal_provider.resource import Operation, Reading, Resource, Values

VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
SET_ELSEWHERE = "(not known: set outside of this stack)"


class Secret(Resource):
    """Holds exactly `values`: what isn't in them is removed."""

    kind = "Secret"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": required(object_name()).with_(replaces=True),
        "environment": required(object_name()).with_(replaces=True),
        "values": required(text_map(VARIABLE, "a variable's name: letters, digits and '_'")).with_(secret=True),
    }
    outputs: ClassVar[Mapping[str, Output]] = {"secretId": Output(), "keys": Output(changes=True)}
    identity = ("environment", "name")

    def create(self, op: Operation) -> tuple[str, Values]:
        name, environment = op.inputs["name"], op.inputs["environment"]
        try:
            modal.Secret.objects.create(name, op.inputs["values"], environment_name=environment)
        except modal_errors.AlreadyExistsError:
            op.progress("exists: its values are replaced")
            _overwrite(op.inputs)
        return self.id_of(op.inputs), _outputs(op.inputs)

    def read(self, op: Operation) -> Reading | None:
        identity = self.identify(op.id)
        found, known = _outputs(identity), op.inputs.get("values", {})
        values = {key: known.get(key, SET_ELSEWHERE) for key in found["keys"]}
        return Reading({**identity, "values": values}, found)

    def update(self, op: Operation) -> Values:
        name, environment, values = op.inputs["name"], op.inputs["environment"], op.inputs["values"]
        try:
            surplus = set(_outputs(op.inputs)["keys"]) - values.keys()
        except modal_errors.NotFoundError:
            return self.create(op)[1]
        if surplus:
            _overwrite(op.inputs)
        else:
            modal.Secret.from_name(name, environment_name=environment).update(values)
        return _outputs(op.inputs)

    def delete(self, op: Operation) -> None:
        identity = self.identify(op.id)
        modal.Secret.objects.delete(identity["name"], environment_name=identity["environment"])


def _overwrite(inputs: Values) -> None:
    """As `modal secret create --force` does; the public update only adds and changes."""
    request = api_pb2.SecretGetOrCreateRequest(
        deployment_name=inputs["name"],
        environment_name=inputs["environment"],
        object_creation_type=api_pb2.OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS,
        env_dict=inputs["values"],
    )
    call("SecretGetOrCreate", request, api_pb2.SecretGetOrCreateResponse)


def _outputs(identity: Values) -> Values:
    """The public objects keep the names of a secret's variables to themselves."""
    request = api_pb2.SecretGetOrCreateRequest(
        deployment_name=identity["name"], environment_name=identity["environment"]
    )
    answer = call("SecretGetOrCreate", request, api_pb2.SecretGetOrCreateResponse)
    return {"secretId": answer.secret_id, "keys": sorted(answer.metadata.keys)}
