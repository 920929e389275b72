"""modal:index:ServiceUser: an API token of its own for a program, with a role per environment. Shown once."""

from collections.abc import Mapping
from typing import Any, ClassVar

from modal import exception as modal_errors

from infra.modal_provider.client import workspace
from infra.modal_provider.explain import REFUSALS, refusal
from infra.modal_provider.generation import generation, generation_name, split_generation
from infra.modal_provider.properties import Output, Property, count, required, text, text_map
from infra.modal_provider.resource import Operation, Partial, ProviderError, Reading, Resource, Values

NO_ACCESS = "no-access"
ROLES = ("contributor", "viewer", NO_ACCESS)
DAY_SECONDS = 86_400
MOST_DAYS = 3_650


class ServiceUser(Resource):
    """Its id is its name at Modal. A new generation makes a new user before the old one goes."""

    kind = "ServiceUser"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": required(text(r"[A-Za-z0-9_-]{1,48}", "letters, digits, '_' and '-', 48 at most")).with_(replaces=True),
        "roles": required(text_map(values=ROLES)),
        "expiresInDays": count(MOST_DAYS).with_(replaces=True),
        "generation": generation(),
    }
    outputs: ClassVar[Mapping[str, Output]] = {
        "serviceUserId": Output(),
        "tokenId": Output(),
        "tokenSecret": Output(secret=True),
        "expiresAt": Output(),
    }
    identity = ()
    managers_only = True

    def create(self, op: Operation) -> tuple[str, Values]:
        users, name, days = workspace().service_users, generation_name(op.inputs), op.inputs.get("expiresInDays")
        try:
            _delete_leftover(users, name, op)
            data = users.create(name, expires_in=days and days * DAY_SECONDS)
        except REFUSALS as error:
            raise refusal(error, "a service user", "serviceUser") from error
        outputs = {"tokenId": data.token_id, "tokenSecret": data.token_secret}
        try:
            outputs |= _outputs(users.info(name))
            _set_roles(users, name, op.inputs["roles"])
        except modal_errors.Error as error:
            raise Partial(f"the service user was made and lacks roles: {error}", name, outputs) from error
        return name, outputs

    def read(self, op: Operation) -> Reading | None:
        info = workspace().service_users.info(op.id)
        if op.old.get("tokenId", info.token_id) != info.token_id:
            return None  # ours is gone, and another one has its name
        wanted = op.inputs.get("roles", {})
        roles = {item: role for item, role in wanted.items() if role == NO_ACCESS}
        roles |= {item: role for item, role in info.environment_roles.items() if role != NO_ACCESS or item in wanted}
        found = {**split_generation(info.name), "roles": roles}
        if "expiresInDays" in op.inputs:
            found["expiresInDays"] = op.inputs["expiresInDays"]
        elif not op.inputs and info.expires_at:
            found["expiresInDays"] = max(1, round((info.expires_at - info.created_at).total_seconds() / DAY_SECONDS))
        return Reading(found, _outputs(info))

    def update(self, op: Operation) -> Values:
        users = workspace().service_users
        _set_roles(users, op.id, op.inputs["roles"])
        return _outputs(users.info(op.id))

    def delete(self, op: Operation) -> None:
        users = workspace().service_users
        if op.old.get("tokenId") in {None, users.info(op.id).token_id}:
            users.delete(op.id)
        else:
            op.progress("was gone already; another one has its name")


def _set_roles(users: Any, name: str, wanted: dict[str, str]) -> None:
    """Takes roles away before it gives any."""
    held = {item: role for item, role in users.info(name).environment_roles.items() if role != NO_ACCESS}
    for surplus in sorted(held.keys() - wanted.keys()):
        users.set_role(name, surplus, role=NO_ACCESS)
    for item, role in sorted(wanted.items()):
        if held.get(item, NO_ACCESS) != role:
            users.set_role(name, item, role=role)


def _delete_leftover(users: Any, name: str, op: Operation) -> None:
    """What a killed run made under this name: nobody was told its secret, so it was never used."""
    try:
        info = users.info(name)
    except modal_errors.NotFoundError:
        return
    if info.last_used_at is not None:
        raise ProviderError(
            f"a service user {name!r} that this stack didn't make exists and was used on {info.last_used_at:%Y-%m-%d}: "
            "choose another name or generation, or delete it at Modal"
        )
    op.progress(f"deletes {name}, left by an interrupted deployment and never used")
    users.delete(name, allow_missing=True)


def _outputs(info: Any) -> Values:
    expires = info.expires_at.isoformat(timespec="seconds") if info.expires_at else ""
    return {"serviceUserId": info.service_user_id, "tokenId": info.token_id, "expiresAt": expires}
