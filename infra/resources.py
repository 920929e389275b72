"""The provider's resources, as the program writes them: inputs in, outputs out. What they do is in `modal_provider`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pulumi
from pulumi import Input, Output, ResourceOptions

PACKAGE = "modal:index:"
T = TypeVar("T")


class _Told(property, Generic[T]):
    """A property of a resource that others read: its name at Pulumi, and the type that it comes back as."""

    def __init__(self, name: str, kind: type[T]) -> None:
        def read(resource: pulumi.Resource) -> object:
            return pulumi.get(resource, name)

        read.__annotations__["return"] = Output[kind]  # type: ignore[valid-type] # which Pulumi converts to
        super().__init__(pulumi.getter(name=name)(read))

    if TYPE_CHECKING:  # for whom every property is read as Any

        def __get__(self, resource: Any, owner: type | None = None) -> Output[T]: ...  # type: ignore[override]


class _ModalResource(pulumi.CustomResource):
    """Inputs that are None are left out; `outputs` are those that only Modal knows."""

    def __init__(
        self, name: str, inputs: Mapping[str, Any], outputs: Sequence[str], opts: ResourceOptions | None
    ) -> None:
        given = {key: value for key, value in inputs.items() if value is not None}
        super().__init__(f"{PACKAGE}{type(self).__name__}", name, {**given, **dict.fromkeys(outputs)}, opts)


class Environment(_ModalResource):
    """A part of the workspace with apps, secrets and roles of its own."""

    name = _Told("name", str)
    """Its name at Modal."""

    def __init__(self, name: str, *, restricted: bool = False, opts: ResourceOptions | None = None) -> None:
        super().__init__(name, {"name": name, "restricted": restricted}, ["environmentId"], opts)


class Secret(_ModalResource):
    """Environment variables that functions are given. The values are secret in the state, whatever they are."""

    name = _Told("name", str)
    """Its name at Modal."""

    def __init__(
        self,
        name: str,
        *,
        environment: Input[str],
        values: Mapping[str, str],
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"name": name, "environment": environment, "values": Output.secret(dict(values))}
        super().__init__(name, inputs, ["secretId", "keys"], opts)


class ProxyToken(_ModalResource):
    """Opens web endpoints that ask for one, in the environments that it is given."""

    token_id = _Told("tokenId", str)
    """`wk-…`."""
    token_secret = _Told("tokenSecret", str)
    """`ws-…`; Modal shows it once, the state keeps it encrypted."""

    def __init__(
        self,
        resource_name: str,
        *,
        name: Input[str],
        environments: Sequence[Input[str]],
        generation: int,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"name": name, "environments": list(environments), "generation": generation}
        super().__init__(resource_name, inputs, ["tokenId", "tokenSecret"], _hiding_the_secret(opts))


class ServiceUser(_ModalResource):
    """An API token of its own for a program, with a role in each of some environments."""

    token_id = _Told("tokenId", str)
    """`ak-…`."""
    token_secret = _Told("tokenSecret", str)
    """`as-…`; Modal shows it once, the state keeps it encrypted."""

    def __init__(
        self,
        resource_name: str,
        *,
        name: Input[str],
        roles: Mapping[str, Input[str]],
        generation: int,
        expires_in_days: int | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"name": name, "roles": dict(roles), "generation": generation, "expiresInDays": expires_in_days}
        outputs = ["serviceUserId", "tokenId", "tokenSecret", "expiresAt"]
        super().__init__(resource_name, inputs, outputs, _hiding_the_secret(opts))


class Image(_ModalResource):
    """The executors' image, built once and published under a name."""

    tag = _Told("tag", str)
    """The name, `NAME:TAG`."""

    def __init__(
        self,
        tag: str,
        *,
        environment: Input[str],
        settings: Mapping[str, str],
        source_hash: str,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"tag": tag, "environment": environment, "settings": dict(settings), "sourceHash": source_hash}
        super().__init__(tag, inputs, ["imageId"], opts)


class App(_ModalResource):
    """The app, deployed by Modal's own client."""

    image_tag = _Told("imageTag", str)
    """Name of the image that it runs in."""
    app_id = _Told("appId", str)
    """Modal's id, `ap-…`."""
    version = _Told("version", int)
    """Modal's number of the deployment that is live."""
    url = _Told("url", str)
    """Its page at Modal."""
    endpoints = _Told("endpoints", dict[str, str])
    """Addresses of its web endpoints, by `Class.method`."""

    def __init__(
        self,
        name: str,
        *,
        environment: Input[str],
        settings: Mapping[str, str],
        secrets: Sequence[Input[str]],
        image_tag: Input[str],
        source_hash: str,
        versions: Mapping[str, str],
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "name": name,
            "environment": environment,
            "settings": dict(settings),
            "secrets": list(secrets),
            "imageTag": image_tag,
            "sourceHash": source_hash,
            "versions": dict(versions),
        }
        super().__init__(name, inputs, ["appId", "version", "url", "endpoints", "deployedAt"], opts)


class ServerImage(_ModalResource):
    """An image of the inference server, built on a Docker engine; pushed where `layers` names what is kept there."""

    image_id = _Told("imageId", str)
    """The engine's id of it, `sha256:…`."""
    repo_digest = _Told("repoDigest", str)
    """The name that stays this image's in its registry, NAME@sha256:…; empty where it isn't pushed."""
    reference = _Told("reference", str)
    """The name to run it by."""

    def __init__(
        self,
        resource_name: str,
        *,
        name: str,
        layers: str | None,
        dockerfile: str,
        build_args: Mapping[str, str],
        files: Mapping[str, str],
        source_hash: str,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "name": name,
            "push": layers is not None,
            "layers": layers,
            "dockerfile": dockerfile,
            "buildArgs": dict(build_args),
            "files": dict(files),
            "sourceHash": source_hash,
        }
        super().__init__(resource_name, inputs, ["imageId", "repoDigest", "reference"], opts)


def _hiding_the_secret(opts: ResourceOptions | None) -> ResourceOptions:
    return ResourceOptions.merge(opts, ResourceOptions(additional_secret_outputs=["tokenSecret"]))
