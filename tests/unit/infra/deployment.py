"""Runs the program against mocks of Pulumi's engine, and tells what it asked for."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf import json_format
from pulumi.runtime import run_in_stack, set_mocks
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.rpc import _special_secret_sig, _special_sig_key
from pulumi.runtime.settings import ROOT, reset_options

from infra.program import main
from infra.settings import PROJECT

OUTPUTS: dict[str, dict[str, Any]] = {
    "modal:index:Environment": {"environmentId": "en-1"},
    "modal:index:Secret": {"secretId": "st-1", "keys": []},
    "modal:index:ServiceUser": {"serviceUserId": "su-1", "expiresAt": ""},
    "modal:index:Image": {"imageId": "im-1"},
    "modal:index:ServerImage": {
        "imageId": "sha256:abc",
        "repoDigest": "acme/images@sha256:abc",
        "reference": "acme/images@sha256:abc",
    },
    "modal:index:App": {
        "appId": "ap-1",
        "version": 3,
        "url": "https://modal.com/apps/ap-1",
        "endpoints": {
            "Gateway.execute_block": "https://acme-staging--blocks-execute-block.modal.run",
            "Gateway.wsapp": "https://acme-staging--blocks-wsapp.modal.run",
            "Session.wsapp": "https://acme-staging--blocks-session.modal.run",
            "Other.page": "https://acme-staging--blocks-other.modal.run",
        },
        "deployedAt": "2026-01-01",
    },
}
TOKENS = {"modal:index:ServiceUser": ("ak", "as"), "modal:index:ProxyToken": ("wk", "ws")}


@dataclass(frozen=True)
class Registered:
    """One resource, as the program registered it."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    secret: frozenset[str]
    """Inputs, and outputs by option, that the state keeps encrypted."""
    protect: bool
    retain: bool
    needs: frozenset[str]
    """Names of the resources that it depends on."""


@dataclass
class Deployment:
    """What a run of the program asked for."""

    resources: list[Registered] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    secret_outputs: set[str] = field(default_factory=set)

    def of(self, kind: str) -> list[Registered]:
        """The provider's resources of one type, such as `App`."""
        return [resource for resource in self.resources if resource.type == f"modal:index:{kind}"]

    def the(self, kind: str) -> Registered:
        """The only one of its type."""
        (resource,) = self.of(kind)
        return resource


class Engine(MockMonitor):
    """Records what is registered, secrets still marked."""

    def __init__(self) -> None:
        super().__init__(Modal())
        self.deployment = Deployment()

    def RegisterResource(self, request: Any) -> Any:
        with event_loop():  # of this worker thread: the mocks would make one that nobody closes
            response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            plain = {name: _plain(value) for name, value in _json(request.object).items()}
            marked = {name for name, value in _json(request.object).items() if _is_secret(value)}
            self.deployment.resources.append(
                Registered(
                    request.type,
                    request.name,
                    plain,
                    frozenset(marked | set(request.additionalSecretOutputs)),
                    request.protect,
                    request.retainOnDelete,
                    frozenset(urn.split("::")[-1] for urn in request.dependencies),
                )
            )
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if "pulumi:pulumi:Stack" in request.urn:
            outputs = _json(request.outputs)
            self.deployment.outputs = {name: _plain(value) for name, value in outputs.items()}
            self.deployment.secret_outputs = {name for name, value in outputs.items() if _is_secret(value)}
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


class Modal(Mocks):
    """Makes whatever it is asked for."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        outputs = dict(OUTPUTS.get(args.typ, {}))
        if args.typ in TOKENS:
            token, secret = TOKENS[args.typ]
            outputs |= {"tokenId": f"{token}-{args.name}", "tokenSecret": f"{secret}-{args.name}"}
        return f"{args.name}-id", {**args.inputs, **outputs}

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program calls nothing, yet {args.token} was called")


def deploy(monkeypatch: pytest.MonkeyPatch, stack: str = "staging", /, **config: Any) -> Deployment:
    """Runs the program for a stack with these keys; those whose name ends with `Secrets` are encrypted."""
    texts = {
        f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in config.items()
    }
    secret = [f"{PROJECT}:{key}" for key in config if key.endswith("Secrets")]
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(texts))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(secret))
    monkeypatch.setenv("MODAL_TOKEN_ID", "ak-deployer")
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-deployer")
    return run(stack)


def run(stack: str) -> Deployment:
    """Runs the program for a stack, with what the environment says."""
    engine = Engine()
    with event_loop() as loop:
        try:
            set_mocks(engine.mocks, PROJECT, stack, preview=False, monitor=engine)
            ROOT.set(None)  # the mocks make a stack already; the program is to run in one of its own, as under Pulumi
            loop.run_until_complete(run_in_stack(main))
        finally:
            reset_options()
            loop.run_until_complete(loop.shutdown_default_executor())
    return engine.deployment


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for this thread, closed at the end."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def _json(struct: Any) -> dict[str, Any]:
    content: dict[str, Any] = json_format.MessageToDict(struct)
    return content


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(_special_sig_key) == _special_secret_sig


def _plain(value: Any) -> Any:
    if _is_secret(value):
        return _plain(value["value"])
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
