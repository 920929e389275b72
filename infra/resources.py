"""The provider's resources, as the program writes them: inputs in, outputs out. What they do is in `modal_provider`."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi import Input, Output, ResourceOptions

PACKAGE = "modal:index:"


class _ModalResource(pulumi.CustomResource):
    """Inputs that are None are left out; `outputs` are those that only Modal knows."""

    def __init__(
        self, name: str, inputs: Mapping[str, Any], outputs: Sequence[str], opts: ResourceOptions | None
    ) -> None:
        given = {key: value for key, value in inputs.items() if value is not None}
        super().__init__(f"{PACKAGE}{type(self).__name__}", name, {**given, **dict.fromkeys(outputs)}, opts)


class Environment(_ModalResource):
    """A part of the workspace with apps, secrets and roles of its own."""

    def __init__(self, name: str, *, restricted: bool = False, opts: ResourceOptions | None = None) -> None:
        super().__init__(name, {"name": name, "restricted": restricted}, ["environmentId"], opts)

    @property
    @pulumi.getter
    def name(self) -> Output[str]:
        """Its name at Modal."""
        return _output(self, "name")

    @property
    @pulumi.getter(name="environmentId")
    def environment_id(self) -> Output[str]:
        """Modal's id, `en-…`."""
        return _output(self, "environmentId")


class Secret(_ModalResource):
    """Environment variables that functions are given. The values are secret in the state, whatever they are."""

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

    @property
    @pulumi.getter
    def name(self) -> Output[str]:
        """Its name at Modal."""
        return _output(self, "name")


class ProxyToken(_ModalResource):
    """Opens web endpoints that ask for one, in the environments that it is given."""

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

    @property
    @pulumi.getter(name="tokenId")
    def token_id(self) -> Output[str]:
        """`wk-…`."""
        return _output(self, "tokenId")

    @property
    @pulumi.getter(name="tokenSecret")
    def token_secret(self) -> Output[str]:
        """`ws-…`; Modal shows it once, the state keeps it encrypted."""
        return _output(self, "tokenSecret")


class ServiceUser(_ModalResource):
    """An API token of its own for a program, with a role in each of some environments."""

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

    @property
    @pulumi.getter(name="expiresInDays")
    def expires_in_days(self) -> Output[int | None]:
        """Days that the token is valid; none: it never expires."""
        return _output(self, "expiresInDays")

    @property
    @pulumi.getter(name="serviceUserId")
    def service_user_id(self) -> Output[str]:
        """Modal's id."""
        return _output(self, "serviceUserId")

    @property
    @pulumi.getter(name="tokenId")
    def token_id(self) -> Output[str]:
        """`ak-…`."""
        return _output(self, "tokenId")

    @property
    @pulumi.getter(name="tokenSecret")
    def token_secret(self) -> Output[str]:
        """`as-…`; Modal shows it once, the state keeps it encrypted."""
        return _output(self, "tokenSecret")

    @property
    @pulumi.getter(name="expiresAt")
    def expires_at(self) -> Output[str]:
        """When the token expires, ISO 8601; empty: never."""
        return _output(self, "expiresAt")


class Image(_ModalResource):
    """The executors' image, built once and published under a name."""

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

    @property
    @pulumi.getter
    def tag(self) -> Output[str]:
        """The name, `NAME:TAG`."""
        return _output(self, "tag")

    @property
    @pulumi.getter(name="sourceHash")
    def source_hash(self) -> Output[str]:
        """Hash of what it is built from."""
        return _output(self, "sourceHash")

    @property
    @pulumi.getter(name="imageId")
    def image_id(self) -> Output[str]:
        """Modal's id, `im-…`."""
        return _output(self, "imageId")


class App(_ModalResource):
    """The app, deployed by Modal's own client."""

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
        super().__init__(name, inputs, ["appId", "version", "url", "deployedAt"], opts)

    @property
    @pulumi.getter(name="imageTag")
    def image_tag(self) -> Output[str]:
        """Name of the image that it runs in."""
        return _output(self, "imageTag")

    @property
    @pulumi.getter(name="sourceHash")
    def source_hash(self) -> Output[str]:
        """Hash of its source."""
        return _output(self, "sourceHash")

    @property
    @pulumi.getter(name="appId")
    def app_id(self) -> Output[str]:
        """Modal's id, `ap-…`."""
        return _output(self, "appId")

    @property
    @pulumi.getter
    def version(self) -> Output[int]:
        """Modal's number of the deployment that is live."""
        return _output(self, "version")

    @property
    @pulumi.getter
    def url(self) -> Output[str]:
        """Its page at Modal."""
        return _output(self, "url")

    @property
    @pulumi.getter(name="deployedAt")
    def deployed_at(self) -> Output[str]:
        """When that was deployed, ISO 8601."""
        return _output(self, "deployedAt")


class ServerImage(_ModalResource):
    """An image of the inference server, built on a Docker engine and pushed where that is asked for."""

    def __init__(
        self,
        resource_name: str,
        *,
        name: str,
        push: bool,
        dockerfile: str,
        build_args: Mapping[str, str],
        files: Mapping[str, str],
        source_hash: str,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "name": name,
            "push": push,
            "dockerfile": dockerfile,
            "buildArgs": dict(build_args),
            "files": dict(files),
            "sourceHash": source_hash,
        }
        super().__init__(resource_name, inputs, ["imageId", "repoDigest", "reference"], opts)

    @property
    @pulumi.getter(name="imageId")
    def image_id(self) -> Output[str]:
        """The engine's id of it, `sha256:…`."""
        return _output(self, "imageId")

    @property
    @pulumi.getter(name="repoDigest")
    def repo_digest(self) -> Output[str]:
        """The name that stays this image's in its registry, NAME@sha256:…; empty where it isn't pushed."""
        return _output(self, "repoDigest")

    @property
    @pulumi.getter
    def reference(self) -> Output[str]:
        """The name to run it by."""
        return _output(self, "reference")


def _output(resource: pulumi.Resource, name: str) -> Output[Any]:
    value: Output[Any] = pulumi.get(resource, name)
    return value


def _hiding_the_secret(opts: ResourceOptions | None) -> ResourceOptions:
    return ResourceOptions.merge(opts, ResourceOptions(additional_secret_outputs=["tokenSecret"]))
