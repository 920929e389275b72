"""What every family of RPCs has: the control plane, the caller, and errors in Modal's terms."""

from typing import NoReturn

from grpclib import GRPCError, Status
from modal_proto import api_pb2

from local_modal.plane import Plane
from local_modal.rpc.transport import CALLER, CHECK, REACHED_AT, Account
from local_modal.scheduler.options import varied
from local_modal.scheduler.task import Definition, Task
from local_modal.store.apps import App
from local_modal.store.functions import BoundFunction
from local_modal.web.address import PATH, web_configs

IMAGE_BUILDER_VERSION = "2025.06"
"""The newest that modal 1.6 knows: the client's dependencies are mounted, not installed into images."""
NEVER_A_BLOB = 1 << 40
"""Larger than anything that a container may send (bytes)."""


def not_found(what: str) -> NoReturn:
    """The caller gets modal.exception.NotFoundError."""
    raise GRPCError(Status.NOT_FOUND, what)


def invalid(what: str) -> NoReturn:
    """The caller gets modal.exception.InvalidError."""
    raise GRPCError(Status.INVALID_ARGUMENT, what)


def conflict(what: str) -> NoReturn:
    """The caller gets modal.exception.ConflictError."""
    raise GRPCError(Status.FAILED_PRECONDITION, what)


class Service:
    """A family's methods are named as the RPCs that they answer."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    @property
    def in_container(self) -> bool:
        """Whether a container makes the call."""
        return isinstance(CALLER.get(None), Task)

    @property
    def task(self) -> Task:
        """The container that makes the call."""
        caller = CALLER.get()
        if isinstance(caller, Account):
            raise GRPCError(Status.PERMISSION_DENIED, "only containers call this")
        return caller

    @property
    def account(self) -> Account:
        """The account that makes the call."""
        caller = CALLER.get()
        if not isinstance(caller, Account):
            raise GRPCError(Status.PERMISSION_DENIED, "containers may not call this")
        return caller

    @property
    def base_url(self) -> str:
        """Where the caller of this call reaches the control plane: the beginning of every address that it is given."""
        settings = self.plane.settings
        return settings.advertised_url or (not self.in_container and REACHED_AT.get()) or settings.url

    @property
    def username(self) -> str:
        """By whom a deployment is made."""
        caller = CALLER.get()
        user = caller.service_user if isinstance(caller, Account) else None
        return user.name if user else self.plane.settings.workspace

    def environment(self, name: str) -> str:
        """The environment's name, the default one's for an empty name."""
        wanted = name or self.plane.settings.environment
        if self.plane.environments.get(wanted) is None:
            not_found(f"Environment '{wanted}' not found; `modal environment create {wanted}` makes it.")
        self.authorise(wanted)
        return wanted

    def authorise(self, environment: str) -> None:
        """Refuse a service user whose role in the environment doesn't reach for the call that is being answered."""
        caller, check = CALLER.get(), CHECK.get()
        check.done = True
        if isinstance(caller, Account) and caller.level_in(environment) < check.level:
            user = caller.service_user.name if caller.service_user else ""
            raise GRPCError(
                Status.PERMISSION_DENIED,
                f"service user '{user}' needs the role {check.level.name.lower()} in environment '{environment}'",
            )

    def app(self, app_id: str) -> App:
        """The app of that id."""
        app = self.plane.apps.get(app_id) or not_found(f"App '{app_id}' not found.")
        self.authorise(app.environment)
        return app

    def live_definition(self, bound: BoundFunction) -> Definition:
        """What a function runs now."""
        function = self.plane.functions.get(bound.function_id) or not_found(f"Function '{bound.bound_id}' not found.")
        app = self.app(function.app_id)
        if not app.live:
            conflict(f"App '{app.description}' is not running: deploy it, or look its function up again.")
        layout = self.plane.apps.layout(app)
        definition_id = layout.definitions.get(function.function_id)
        definition = self.plane.functions.definition(definition_id) if definition_id else None
        if definition is None or definition_id is None:
            not_found(f"Function '{function.tag}' is not part of the deployed version of app '{app.description}'.")
        live = Definition(definition_id, function.function_id, app.app_id, app.environment, definition)
        return varied(live, bound.options)

    def handle_metadata(
        self, function_id: str, app: App, definition: api_pb2.Function, *, in_container: bool = False
    ) -> api_pb2.FunctionHandleMetadata:
        """What a client needs to call a function.

        Each method's `use_method_name` must be its name, else the container finds no method. A container has no network
        to move blobs with: for it, everything is inline.
        """
        urls = self._web_urls(function_id, app, definition)
        inline_bytes = NEVER_A_BLOB if in_container else self.plane.settings.max_inline_bytes
        base = api_pb2.FunctionHandleMetadata(
            function_name=definition.function_name,
            function_type=definition.function_type,
            definition_id="",
            class_parameter_info=definition.class_parameter_info,
            function_schema=definition.function_schema,
            supported_input_formats=definition.supported_input_formats,
            supported_output_formats=definition.supported_output_formats,
            max_object_size_bytes=inline_bytes,
            max_async_object_size_bytes=inline_bytes,
            app_id=app.app_id,
            base_function_id=function_id,
            web_url=urls.get("", ""),
        )
        for name, method in definition.method_definitions.items():
            base.method_handle_metadata[name].CopyFrom(
                api_pb2.FunctionHandleMetadata(
                    function_name=method.function_name,
                    function_type=method.function_type,
                    is_method=True,
                    use_method_name=name,
                    class_parameter_info=definition.class_parameter_info,
                    function_schema=method.function_schema,
                    supported_input_formats=method.supported_input_formats,
                    supported_output_formats=method.supported_output_formats,
                    max_object_size_bytes=inline_bytes,
                    max_async_object_size_bytes=inline_bytes,
                    app_id=app.app_id,
                    base_function_id=function_id,
                    web_url=urls.get(name, ""),
                )
            )
        return base

    def _web_urls(self, function_id: str, app: App, definition: api_pb2.Function) -> dict[str, str]:
        """Method → address of its web endpoint, of those that are; a function's own is that of the empty method."""
        if not web_configs(definition):
            return {}
        function = self.plane.functions.get(function_id) or not_found(f"Function '{function_id}' not found.")
        addresses = self.plane.addresses.of(app, function.tag, definition)
        return {method: f"{self.base_url}{PATH}{address}" for method, address in addresses.items()}

    def layout_of(self, app_id: str) -> api_pb2.AppLayout:
        """The live deployment as its own containers are given it; nobody's call."""
        app = self.plane.apps.get(app_id) or not_found(f"App '{app_id}' not found.")
        return self.layout_message(app, in_container=True)

    def layout_message(self, app: App, *, in_container: bool = False) -> api_pb2.AppLayout:
        """The live deployment of an app, with the metadata of everything in it and what it depends on."""
        layout = self.plane.apps.layout(app)
        message = api_pb2.AppLayout(function_ids=layout.functions, class_ids=layout.classes)
        depends: set[str] = set()
        for tag, function_id in layout.functions.items():
            definition = self.plane.functions.definition(layout.definitions.get(function_id, ""))
            if definition is None:
                continue
            metadata = self.handle_metadata(function_id, app, definition, in_container=in_container)
            metadata.definition_id = layout.definitions[function_id]
            message.objects.append(api_pb2.Object(object_id=function_id, function_handle_metadata=metadata))
            depends.update(dependency.object_id for dependency in definition.object_dependencies)
            if class_id := layout.classes.get(tag.removesuffix(".*")):
                message.objects.append(
                    api_pb2.Object(
                        object_id=class_id,
                        class_handle_metadata=api_pb2.ClassHandleMetadata(
                            class_function_id=function_id, class_function_metadata=metadata
                        ),
                    )
                )
        for object_id in sorted(depends):
            message.objects.append(self._dependency(object_id))
        return message

    def _dependency(self, object_id: str) -> api_pb2.Object:
        if object_id.startswith("mo-"):
            checksum = self.plane.mounts.checksum(object_id)
            return api_pb2.Object(
                object_id=object_id,
                mount_handle_metadata=api_pb2.MountHandleMetadata(content_checksum_sha256_hex=checksum),
            )
        return api_pb2.Object(object_id=object_id)
