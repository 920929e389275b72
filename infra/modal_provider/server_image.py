"""modal:index:ServerImage: an image of the inference server, built on a Docker engine, pushed where that is asked for.

What it is built from is among the inputs, file by file, so that a preview says why it changes. Credentials of a
registry aren't: the engine's client has them from Docker's own configuration.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from infra.modal_provider.command import ROOT, run_command
from infra.modal_provider.properties import Output, Property, flag, required, text, text_map
from infra.modal_provider.resource import Operation, ProviderError, Reading, Resource, Values
from infra.server_images.build import Build, built_from
from infra.server_images.catalog import Source
from infra.server_images.engine import builder, engine
from infra.server_images.errors import ImageError
from infra.server_images.registry import digest_of, pinned, push, push_layers

COMPONENT = r"[a-z0-9][a-z0-9._-]*"
NAME = rf"([a-z0-9][a-z0-9.-]*(:[0-9]+)?/)?{COMPONENT}(/{COMPONENT})*:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}"
ARGUMENT = r"[A-Za-z_][A-Za-z0-9_]*"
UNKNOWN_SOURCE = "(not known)"
KEPT_OUT = ("PULUMI_", "MODAL_", "CUSTOM_BLOCKS_")
"""Variables that are no matter of a build: passphrases and tokens among them."""
CONFLICT = 409


class ServerImage(Resource):
    """A tag of a repository; its image carries the hash of what it was built from as a label.

    Deleting one takes the tag back on the engine; what a registry has stays there, for those who run it.
    """

    kind = "ServerImage"
    at_modal = False
    properties: ClassVar[Mapping[str, Property]] = {
        "name": required(text(NAME, "an image's name in lower case and its tag, such as HOST/NAME:TAG")).with_(
            replaces=True
        ),
        "push": flag().with_(default=False),
        "layers": text(NAME, "an image's name in lower case and its tag, such as HOST/NAME:TAG"),
        "dockerfile": required(text()),
        "context": text().with_(default="."),
        "buildArgs": text_map(ARGUMENT, "an argument's name: letters, digits and '_'").with_(default={}),
        "files": text_map().with_(default={}),
        "sourceHash": required(text()),
    }
    outputs: ClassVar[Mapping[str, Output]] = {
        "imageId": Output(changes=True),
        "repoDigest": Output(changes=True),
        "reference": Output(changes=True),
    }
    identity = ("name",)

    def create(self, op: Operation) -> tuple[str, Values]:
        inputs, name = op.inputs, op.inputs["name"]
        with _engine() as client:
            found, built = built_from(client, name), False
            if found is None or found[1] != inputs["sourceHash"]:
                _build(inputs, name, op)
                found = built_from(client, name)
                built = True
            else:
                op.progress("is built already")
            if found is None:
                raise ImageError(
                    f"{name} was built and the engine doesn't have it: does the builder go to this engine?"
                )
            digest = push(client, name, _reporting(op)) if inputs["push"] else ""
            if built and inputs["push"] and inputs.get("layers"):
                _keep_layers(client, name, inputs["layers"], op)
        return name, _outputs(name, found[0], digest)

    def read(self, op: Operation) -> Reading | None:
        """A pushed image is what its registry has; any other is what the engine has."""
        identity = self.identify(op.id)
        inputs = self.with_defaults(
            {"dockerfile": UNKNOWN_SOURCE, "sourceHash": UNKNOWN_SOURCE, **op.inputs, **identity}
        )
        with _engine() as client:
            if inputs["push"]:
                return self._pushed(client, op, inputs)
            found = built_from(client, op.id)
        if found is None:
            return None
        image_id, source = found
        if op.inputs and source != inputs["sourceHash"]:
            inputs["sourceHash"] = f"(another image has this tag: {image_id})"
        elif not op.inputs and source:
            inputs["sourceHash"] = source
        return Reading(inputs, _outputs(op.id, image_id, ""))

    def _pushed(self, client: docker.DockerClient, op: Operation, inputs: Values) -> Reading | None:
        digest = digest_of(client, op.id)
        if digest is None:
            return None
        known = str(op.old.get("repoDigest", "")).rpartition("@")[2]
        if known != digest:
            inputs["sourceHash"] = f"(another image has this tag: {digest})"
        return Reading(inputs, _outputs(op.id, str(op.old.get("imageId", "")), digest))

    def update(self, op: Operation) -> Values:
        return self.create(op)[1]

    def delete(self, op: Operation) -> None:
        try:
            with _engine() as client:
                client.api.remove_image(op.id)
        except ImageNotFound:
            return
        except APIError as error:
            if error.status_code != CONFLICT:
                raise
            op.progress("a container uses it: the engine keeps it")
        except ProviderError:
            # What was pushed is no engine's own: it may have been built on another machine.
            if not op.inputs.get("push"):
                raise
            op.progress("no engine answers here: there is no tag to take back")

    def identify(self, resource_id: str) -> Values:
        if not re.fullmatch(NAME, resource_id):
            raise ProviderError(f"{resource_id!r} is no id of {self.kind}: ids are NAME:TAG")
        return {"name": resource_id}


def _build(inputs: Values, name: str, op: Operation) -> None:
    source = Source(Path(inputs["dockerfile"]), ROOT / inputs["context"])
    build = Build(source, inputs["buildArgs"], (name,), inputs.get("layers"))
    if build.hash() != inputs["sourceHash"]:
        raise ProviderError("what it is built from changed since the program ran: deploy again")
    tool = builder()
    command = build.command(tool, inputs["sourceHash"])
    environ = {key: value for key, value in os.environ.items() if not key.startswith(KEPT_OUT)}
    run_command(
        command, {**environ, **tool.variables}, op, cwd=source.context, shown=f"the build of {inputs['dockerfile']}"
    )


def _keep_layers(client: docker.DockerClient, name: str, layers: str, op: Operation) -> None:
    """For the next build. A registry that takes no tag twice has the image all the same."""
    try:
        push_layers(client, name, layers, _reporting(op))
    except ImageError as error:
        op.progress(f"its layers aren't kept for the next build: {error}")


@contextmanager
def _engine() -> Iterator[docker.DockerClient]:
    try:
        with engine() as client:
            yield client
    except ImageError as error:
        raise ProviderError(str(error)) from None
    except APIError:
        raise
    except DockerException as error:
        raise ProviderError(f"the engine says: {' '.join(str(error).split())}") from None


def _outputs(name: str, image_id: str, digest: str) -> Values:
    """`imageId` is the engine's, of the image that was built; `reference` is the name to run it by."""
    return {
        "imageId": image_id,
        "repoDigest": pinned(name, digest) if digest else "",
        "reference": pinned(name, digest) if digest else name,
    }


def _reporting(op: Operation) -> Callable[[str], None]:
    """Shows a push's lines, and ends it when the engine says so."""

    def report(line: str) -> None:
        op.cancellation.check()
        op.progress(line)

    return report
