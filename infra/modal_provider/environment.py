"""modal:index:Environment: a part of the workspace with apps, secrets and roles of its own."""

from collections.abc import Mapping
from typing import ClassVar

import modal
from modal import exception as modal_errors
from modal.environments import update_environment
from modal_proto import api_pb2

from infra.modal_provider.client import environments
from infra.modal_provider.explain import REFUSALS, refusal
from infra.modal_provider.properties import Output, Property, flag, object_name, required, text
from infra.modal_provider.resource import Operation, Partial, ProviderError, Reading, Resource, Values

Item = api_pb2.EnvironmentListItem


class Environment(Resource):
    """Deleting one deletes all that is in it."""

    kind = "Environment"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": required(object_name()).with_(replaces=True),
        "webSuffix": text(r"[a-z0-9-]{0,63}", "lower-case letters, digits and '-', 63 at most"),
        "restricted": flag().with_(replaces=True, default=False),
    }
    outputs: ClassVar[Mapping[str, Output]] = {"environmentId": Output()}
    identity = ("name",)

    def create(self, op: Operation) -> tuple[str, Values]:
        name, restricted = op.inputs["name"], op.inputs["restricted"]
        item = _find(name)
        if item is None:
            try:
                modal.Environment.objects.create(name, restricted=restricted)
            except modal_errors.AlreadyExistsError:
                op.progress("was made by someone else meanwhile")
            except REFUSALS as error:
                if restricted:
                    raise refusal(error, "a restricted environment", "restricted") from error
                raise
            item = _get(name)
        try:
            self._converge(item, op.inputs)
        except modal_errors.Error as error:
            raise Partial(
                f"the environment is there, its web suffix isn't set: {error}", name, _outputs(item)
            ) from error
        return name, _outputs(item)

    def read(self, op: Operation) -> Reading | None:
        item = _find(self.identify(op.id)["name"])
        if item is None:
            return None
        found = {"name": item.name, "restricted": item.is_managed}
        if "webSuffix" in op.inputs or not op.inputs:
            found["webSuffix"] = item.webhook_suffix
        return Reading(found, _outputs(item))

    def update(self, op: Operation) -> Values:
        item = _get(op.id)
        self._converge(item, op.inputs)
        return _outputs(item)

    def delete(self, op: Operation) -> None:
        modal.Environment.objects.delete(op.id)

    def _converge(self, item: Item, inputs: Values) -> None:
        if item.is_managed != inputs["restricted"]:
            is_now = "restricted" if item.is_managed else "not restricted"
            raise ProviderError(
                f"environment {item.name!r} exists and is {is_now}, which can't be changed: set restricted to "
                f"{str(item.is_managed).lower()}, or delete it (`modal environment delete {item.name}`) with all in it"
            )
        if inputs.get("webSuffix", item.webhook_suffix) != item.webhook_suffix:
            update_environment(item.name, new_web_suffix=inputs["webSuffix"])


def _find(name: str) -> Item | None:
    """None only where Modal says so: what the token in use may not see isn't listed either, and is an error."""
    item = environments().get(name)
    if item is None:
        try:
            modal.Environment.from_name(name).hydrate()
        except modal_errors.NotFoundError:
            return None
        raise ProviderError(f"environment {name!r} exists, but the token in use may not see it: use the account's own")
    return item


def _get(name: str) -> Item:
    item = _find(name)
    if item is None:
        raise ProviderError(f"environment {name!r} isn't there any more: refresh the stack, then deploy again")
    return item


def _outputs(item: Item) -> Values:
    return {"environmentId": item.environment_id}
