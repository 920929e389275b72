# ruff: noqa: ARG002 - the signatures are the protocol's
"""Pulumi's ResourceProvider service (pulumi/provider.proto), for resources in plain values.

What it guarantees for all of them: secrets are secrets in the state and in no message; state is dropped only where
Modal says that an object isn't there; what a half-done operation made stays in the state and is repaired by the next.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from modal.exception import NotFoundError, PermissionDeniedError
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc, status_pb2
from pulumi.runtime.proto import provider_pb2 as pb

from infra.modal_provider.client import check_reachable
from infra.modal_provider.engine import Engine
from infra.modal_provider.explain import explain
from infra.modal_provider.properties import changed, problems
from infra.modal_provider.resource import Cancellation, Cancelled, Operation, Partial, Resource
from infra.modal_provider.values import UNKNOWN, Properties, decode, encode, texts_in

PACKAGE = "modal"
NO_CONFIG = (
    "the provider takes no configuration, which would stand in the state: give Modal's credentials by the environment "
    "variables MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, and MODAL_SERVER_URL where it isn't Modal itself"
)
NOT_COMPARED = "not compared, as the token in use may not see it: taken as the state says"
SHORTEST_SECRET = 4
"""Characters; a shorter one is too common a text to be cut out of messages."""

Context = grpc.ServicerContext


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Serves `resources`, by the last part of their type (`modal:index:<Name>`)."""

    def __init__(self, version: str, resources: Mapping[str, Resource], engine: Engine) -> None:
        self._version = version
        self._resources = resources
        self._engine = engine
        self._cancellation = Cancellation()
        self._idle = threading.Condition()
        self._running = 0

    def cancel(self) -> None:
        """Stops long work; later calls are refused."""
        self._cancellation.cancel()

    def wait_until_idle(self, seconds: float) -> bool:
        """Whether no operation runs, after at most so many seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, seconds)

    # Life of the provider

    def Handshake(self, request: pb.ProviderHandshakeRequest, context: Context) -> pb.ProviderHandshakeResponse:
        self._engine.connect(request.engine_address)
        return pb.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> empty_pb2.Empty:
        self._engine.connect(request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._version)

    def GetSchema(self, request: pb.GetSchemaRequest, context: Context) -> pb.GetSchemaResponse:
        return pb.GetSchemaResponse(schema=f'{{"name": "{PACKAGE}", "version": "{self._version}"}}')

    def CheckConfig(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        given = [key for key in request.news.fields if key not in {"version", "pluginDownloadURL"}]
        failures = [pb.CheckFailure(property=key, reason=NO_CONFIG) for key in given if not key.startswith("__")]
        return pb.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: pb.DiffRequest, context: Context) -> pb.DiffResponse:
        return pb.DiffResponse(changes=pb.DiffResponse.DIFF_NONE)

    def Configure(self, request: pb.ConfigureRequest, context: Context) -> pb.ConfigureResponse:
        return pb.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        self.cancel()
        return empty_pb2.Empty()

    # Life of a resource

    def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        resource = self._resource(request.urn, context)
        news = decode(request.news)
        inputs = resource.with_defaults(news.values)
        wrong = problems(resource.properties, inputs)
        failures = [pb.CheckFailure(property=key, reason=why) for key, why in wrong.items()]
        return pb.CheckResponse(inputs=encode(inputs, news.secret | resource.secret), failures=failures)

    def Diff(self, request: pb.DiffRequest, context: Context) -> pb.DiffResponse:
        resource = self._resource(request.urn, context)
        old, new = decode(request.old_inputs).values, decode(request.news).values
        detail, keys, replaces = {}, [], []
        for key in sorted(old.keys() | new.keys()):
            paths = {} if key in request.ignoreChanges else changed(old.get(key), new.get(key), key)
            if not paths:
                continue
            keys.append(key)
            replacing = key in resource.properties and resource.properties[key].replaces
            if replacing:
                replaces.append(key)
            for path, word in paths.items():
                kind = pb.PropertyDiff.Kind.Value(f"{word}_REPLACE" if replacing else word)
                detail[path] = pb.PropertyDiff(kind=kind, inputDiff=True)
        return pb.DiffResponse(
            changes=pb.DiffResponse.DIFF_SOME if keys else pb.DiffResponse.DIFF_NONE,
            diffs=keys,
            replaces=replaces,
            stables=[key for key, output in resource.outputs.items() if not output.changes],
            deleteBeforeReplace=resource.delete_before_replace(old, new),
            detailedDiff=detail,
            hasDetailedDiff=True,
        )

    def Create(self, request: pb.CreateRequest, context: Context) -> pb.CreateResponse:
        resource = self._resource(request.urn, context)
        inputs = decode(request.properties)
        if request.preview:
            foreseen = {**inputs.values, **dict.fromkeys(resource.outputs, UNKNOWN)}
            return pb.CreateResponse(properties=self._encode(resource, foreseen, inputs))
        with self._operation(context, resource, request.properties, inputs):
            resource_id, outputs = resource.create(self._op(request.urn, inputs))
        return pb.CreateResponse(
            id=resource_id, properties=self._encode(resource, {**inputs.values, **outputs}, inputs)
        )

    def Update(self, request: pb.UpdateRequest, context: Context) -> pb.UpdateResponse:
        resource = self._resource(request.urn, context)
        inputs, olds = decode(request.news), decode(request.olds)
        old_outputs = _outputs(resource, olds)
        if request.preview:
            unsure = {
                key: UNKNOWN for key, output in resource.outputs.items() if output.changes or key not in old_outputs
            }
            foreseen = {**inputs.values, **old_outputs, **unsure}
            return pb.UpdateResponse(properties=self._encode(resource, foreseen, inputs))
        with self._operation(context, resource, request.news, inputs, olds):
            outputs = resource.update(self._op(request.urn, inputs, request.id, old_outputs))
        state = {**inputs.values, **old_outputs, **outputs}
        return pb.UpdateResponse(properties=self._encode(resource, state, inputs))

    def Read(self, request: pb.ReadRequest, context: Context) -> pb.ReadResponse:
        resource = self._resource(request.urn, context)
        inputs, olds = decode(request.inputs), decode(request.properties)
        old_outputs = _outputs(resource, olds)
        with self._operation(context, resource, request.inputs, inputs, olds):
            try:
                found = resource.read(self._op(request.urn, inputs, request.id, old_outputs))
            except NotFoundError:
                found = None
            except PermissionDeniedError:
                if not resource.managers_only or not olds.values:
                    raise
                self._engine.warn(request.urn, NOT_COMPARED)
                return pb.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
        if found is None:
            return pb.ReadResponse()
        state = {**found.inputs, **old_outputs, **found.outputs}
        return pb.ReadResponse(
            id=request.id,
            properties=self._encode(resource, state, inputs),
            inputs=self._encode(resource, found.inputs, inputs),
        )

    def Delete(self, request: pb.DeleteRequest, context: Context) -> empty_pb2.Empty:
        resource = self._resource(request.urn, context)
        inputs, olds = decode(request.old_inputs), decode(request.properties)
        old_outputs = _outputs(resource, olds)
        with self._operation(context, resource, request.old_inputs, inputs, olds):
            try:
                resource.delete(self._op(request.urn, inputs, request.id, old_outputs))
            except NotFoundError:
                self._engine.status(request.urn, "was gone already")
        return empty_pb2.Empty()

    # Common to them

    def _resource(self, urn: str, context: Context) -> Resource:
        """By the type in a URN: urn:pulumi:stack::project::parentType$type::name."""
        kind = urn.split("::")[2].rpartition("$")[2]
        package, _, name = kind.rpartition(":")
        if package != f"{PACKAGE}:index" or name not in self._resources:
            known = ", ".join(f"{PACKAGE}:index:{name}" for name in self._resources)
            _abort(context, f"{kind} is no resource of this provider; it has {known}", grpc.StatusCode.UNIMPLEMENTED)
        return self._resources[name]

    def _op(self, urn: str, inputs: Properties, resource_id: str = "", old: dict[str, Any] | None = None) -> Operation:
        progress = partial(self._engine.status, urn)
        return Operation(dict(inputs.values), progress, self._cancellation, resource_id, old or {})

    def _encode(self, resource: Resource, values: Mapping[str, Any], given: Properties) -> struct_pb2.Struct:
        return encode(values, given.secret | resource.secret)

    @contextmanager
    def _operation(
        self, context: Context, resource: Resource, wire: struct_pb2.Struct, *given: Properties
    ) -> Iterator[None]:
        """Counts an operation as running, and turns what it raises into the protocol's errors, without secrets."""
        with self._idle:
            self._running += 1
        try:
            self._cancellation.check()
            if resource.at_modal:
                check_reachable()
            yield
        except Partial as error:
            values = {**(given[0].values), **error.outputs}
            detail = any_pb2.Any()
            detail.Pack(
                pb.ErrorResourceInitFailed(
                    id=error.resource_id,
                    inputs=wire,
                    reasons=[_without_secrets(str(error), resource, given)],
                    properties=self._encode(resource, values, given[0]),
                )
            )
            text = _without_secrets(str(error), resource, given)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=text, details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            _abort(context, text)
        except Cancelled as error:
            _abort(context, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine shows it at the resource
            _abort(context, _without_secrets(explain(error), resource, given))
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()


def _outputs(resource: Resource, state: Properties) -> dict[str, Any]:
    return {key: state.values[key] for key in resource.outputs if key in state.values}


def _abort(context: Context, text: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> NoReturn:
    context.abort(code, text)
    raise AssertionError(text)


def _without_secrets(text: str, resource: Resource, given: tuple[Properties, ...]) -> str:
    for properties in given:
        for key in properties.secret | resource.secret:
            for secret in sorted(texts_in(properties.values.get(key)), key=len, reverse=True):
                if len(secret) >= SHORTEST_SECRET:
                    text = text.replace(secret, "[secret]")
    return text
