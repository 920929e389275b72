"""modal:index:Image: the executors' image, built once and published under a tag, for deployments to use by it."""

from collections.abc import Mapping
from typing import ClassVar

from google.protobuf import empty_pb2
from modal_proto import api_pb2

from infra.modal_provider.client import call
from infra.modal_provider.command import PYTHON_MODULE, PYTHON_MODULE_RULE, SETTING, SETTING_RULE, run_module
from infra.modal_provider.properties import Output, Property, object_name, required, text, text_map
from infra.modal_provider.resource import Operation, Reading, Resource, Values

TAG = r"[A-Za-z0-9._-]{1,64}:[A-Za-z0-9._-]{1,64}"


class Image(Resource):
    """A tag of an environment, `NAME:TAG`; another image may get it, an image itself never changes.

    `python -m <module> --publish TAG` builds it and gives it the tag.
    """

    kind = "Image"
    properties: ClassVar[Mapping[str, Property]] = {
        "tag": required(text(TAG, "a name and a tag, NAME:TAG")).with_(replaces=True),
        "environment": required(object_name()).with_(replaces=True),
        "settings": text_map(SETTING, SETTING_RULE).with_(default={}),
        "sourceHash": required(text()),
        "module": text(PYTHON_MODULE, PYTHON_MODULE_RULE).with_(default="modal_app.build"),
    }
    outputs: ClassVar[Mapping[str, Output]] = {"imageId": Output(changes=True)}
    identity = ("environment", "tag")

    def create(self, op: Operation) -> tuple[str, Values]:
        command = [op.inputs["module"], "--publish", op.inputs["tag"]]
        run_module(command, op.inputs["environment"], op.inputs["settings"], op)
        return self.id_of(op.inputs), self._outputs(op.inputs)

    def read(self, op: Operation) -> Reading | None:
        identity = self.identify(op.id)
        found = self._outputs(identity)
        inputs = self.with_defaults({"sourceHash": "(not known)", **op.inputs, **identity})
        if op.old.get("imageId", found["imageId"]) != found["imageId"]:
            inputs["sourceHash"] = f"(another image has this tag: {found['imageId']})"
        return Reading(inputs, found)

    def update(self, op: Operation) -> Values:
        return self.create(op)[1]

    def delete(self, op: Operation) -> None:
        """No public object takes a tag back; `modal image names delete` does it so."""
        call("ImageNameDelete", api_pb2.ImageNameDeleteRequest(tag=op.id), empty_pb2.Empty)

    def _outputs(self, identity: Values) -> Values:
        """The public object tells its id only to an app that is built with it."""
        request = api_pb2.ImageGetByTagRequest(tag=self.id_of(identity))
        return {"imageId": call("ImageGetByTag", request, api_pb2.ImageGetByTagResponse).image_id}
