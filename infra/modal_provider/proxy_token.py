"""modal:index:ProxyToken: opens web endpoints that ask for one, in the environments that it is given. Shown once."""

from collections.abc import Mapping
from typing import Any, ClassVar

from modal import exception as modal_errors

from infra.modal_provider.client import environments, workspace
from infra.modal_provider.explain import REFUSALS, refusal
from infra.modal_provider.generation import generation, generation_name, split_generation
from infra.modal_provider.properties import Output, Property, object_name, required, texts
from infra.modal_provider.resource import Operation, Partial, Reading, Resource, Values


class ProxyToken(Resource):
    """Its id is Modal's (`wk-…`). A new generation makes a new token before the old one goes."""

    kind = "ProxyToken"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": required(object_name(48)),
        "environments": required(texts(empty=False)),
        "generation": generation(),
    }
    outputs: ClassVar[Mapping[str, Output]] = {"tokenId": Output(), "tokenSecret": Output(secret=True)}
    identity = ()
    managers_only = True

    def create(self, op: Operation) -> tuple[str, Values]:
        tokens = workspace().proxy_tokens
        try:
            _delete_leftovers(tokens, op)
            data = tokens.create(generation_name(op.inputs))
        except REFUSALS as error:
            raise refusal(error, "a proxy token", "proxyToken") from error
        outputs = {"tokenId": data.token_id, "tokenSecret": data.token_secret}
        try:
            _converge(tokens, data.token_id, op.inputs)
        except modal_errors.Error as error:
            raise Partial(f"the token was made and isn't scoped yet: {error}", data.token_id, outputs) from error
        return data.token_id, outputs

    def read(self, op: Operation) -> Reading | None:
        tokens = workspace().proxy_tokens
        found = next((token for token in tokens.list() if token.token_id == op.id), None)
        if found is None:
            return None
        allowed, wanted = _allowed(tokens, op.id), op.inputs.get("environments", [])
        in_order = [item for item in wanted if item in allowed] + sorted(allowed - set(wanted))
        return Reading({**split_generation(found.name), "environments": in_order}, {"tokenId": op.id})

    def update(self, op: Operation) -> Values:
        tokens = workspace().proxy_tokens
        tokens.update(op.id, name=generation_name(op.inputs))
        _converge(tokens, op.id, op.inputs)
        return {"tokenId": op.id}

    def delete(self, op: Operation) -> None:
        workspace().proxy_tokens.delete(op.id)


def _converge(tokens: Any, token_id: str, inputs: Values) -> None:
    """Allows before it revokes: a token without any environment would open all of them."""
    wanted, allowed = set(inputs["environments"]), _allowed(tokens, token_id)
    for missing in sorted(wanted - allowed):
        tokens.allow(token_id, missing)
    for surplus in sorted(allowed - wanted):
        tokens.revoke(token_id, surplus)


def _allowed(tokens: Any, token_id: str) -> set[str]:
    return {name for name in environments() if token_id in _tokens_of(tokens, name)}


def _tokens_of(tokens: Any, environment: str) -> set[str]:
    try:
        return {token.token_id for token in tokens.list(environment)}
    except modal_errors.NotFoundError:
        return set()  # deleted since it was listed


def _delete_leftovers(tokens: Any, op: Operation) -> None:
    """What a killed run made under this name: nobody was told its secret, and it reaches nothing but what ours will."""
    for token in tokens.list():
        ours = token.name == generation_name(op.inputs)
        if ours and _allowed(tokens, token.token_id) <= set(op.inputs["environments"]):
            op.progress(f"deletes {token.token_id}, left by an interrupted deployment")
            tokens.delete(token.token_id)
