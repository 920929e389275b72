"""Functions and classes: staged while a deployment is made, looked up and bound to parameters by callers."""

from dataclasses import replace

from modal_proto import api_pb2

from local_modal.ids import new_id
from local_modal.rpc.service import Service, invalid, not_found
from local_modal.scheduler.options import unserved, varied
from local_modal.store.apps import App
from local_modal.web.address import SERVED_TYPES, web_configs

MAX_PARAMS_BYTES = 64 << 10


class FunctionService(Service):
    """Definitions and handles."""

    async def FunctionPrecreate(self, request: api_pb2.FunctionPrecreateRequest) -> api_pb2.FunctionPrecreateResponse:
        app = self.app(request.app_id)
        function = self.plane.functions.reserve(app.app_id, request.function_name)
        outline = api_pb2.Function(
            function_name=request.function_name,
            function_type=request.function_type,
            method_definitions=request.method_definitions,
            webhook_config=request.webhook_config,
            function_schema=request.function_schema,
            supported_input_formats=request.supported_input_formats,
            supported_output_formats=request.supported_output_formats,
        )
        metadata = self.handle_metadata(function.function_id, app, outline)
        return api_pb2.FunctionPrecreateResponse(function_id=function.function_id, handle_metadata=metadata)

    async def FunctionCreate(self, request: api_pb2.FunctionCreateRequest) -> api_pb2.FunctionCreateResponse:
        app = self.app(request.app_id)
        if request.HasField("function"):
            definition = request.function
        elif request.function_data.ranked_functions:
            definition = request.function_data.ranked_functions[0].function
        else:
            invalid("a function needs a definition")
        self._check(definition)
        function = self.plane.functions.reserve(app.app_id, definition.function_name)
        self.plane.addresses.check(app, {function.tag: definition})
        definition_id = self.plane.functions.stage(function.function_id, definition)
        metadata = self.handle_metadata(function.function_id, app, definition)
        metadata.definition_id = definition_id
        definition = self._with_urls(definition, metadata)
        return api_pb2.FunctionCreateResponse(
            function_id=function.function_id,
            function=definition,
            handle_metadata=metadata,
            function_data=self._data(definition),
        )

    def _check(self, definition: api_pb2.Function) -> None:
        """Refuse, by name, what containers here can't have."""
        unserved = {
            "a schedule": definition.HasField("schedule"),
            "volumes": bool(definition.volume_mounts),
            "network file systems": bool(definition.shared_volume_mounts),
            "cloud bucket mounts": bool(definition.cloud_bucket_mounts or definition.s3_mounts),
            "a GPU": bool(definition.resources.gpu_config.gpu_type),
            "a proxy": bool(definition.proxy_id),
            "a server": definition.is_server,
            "a cluster": definition._experimental_group_size > 1,
            "a web server of its own (modal.web_server)": any(
                config.type not in SERVED_TYPES for config in web_configs(definition).values()
            ),
            "custom domains": any(config.custom_domains for config in web_configs(definition).values()),
        }
        if wanted := [name for name, given in unserved.items() if given]:
            invalid(f"{definition.function_name}: local Modal doesn't serve {', '.join(wanted)}")

    def _with_urls(self, definition: api_pb2.Function, metadata: api_pb2.FunctionHandleMetadata) -> api_pb2.Function:
        """The same with the addresses of its web endpoints."""
        shown = api_pb2.Function()
        shown.CopyFrom(definition)
        shown.web_url = metadata.web_url
        for name, method in metadata.method_handle_metadata.items():
            shown.method_definitions[name].web_url = method.web_url
        return shown

    def _data(self, definition: api_pb2.Function) -> api_pb2.FunctionData:
        data = api_pb2.FunctionData(
            module_name=definition.module_name,
            function_name=definition.function_name,
            function_type=definition.function_type,
            timeout_secs=definition.timeout_secs,
            startup_timeout_secs=definition.startup_timeout_secs,
            method_definitions=definition.method_definitions,
            method_definitions_set=definition.method_definitions_set,
            is_class=definition.is_class,
            class_parameter_info=definition.class_parameter_info,
            is_method=definition.is_method,
            untrusted=definition.untrusted,
            autoscaler_settings=definition.autoscaler_settings,
            function_schema=definition.function_schema,
            supported_input_formats=definition.supported_input_formats,
            supported_output_formats=definition.supported_output_formats,
            implementation_name=definition.implementation_name,
            webhook_config=definition.webhook_config,
            web_url=definition.web_url,
        )
        data.ranked_functions.append(api_pb2.FunctionData.RankedFunction(rank=0, function=definition))
        return data

    async def ClassCreate(self, request: api_pb2.ClassCreateRequest) -> api_pb2.ClassCreateResponse:
        """The class's tag comes with AppPublish; its one service function carries everything else."""
        layout = self.plane.apps.layout(self.app(request.app_id))
        known = request.existing_class_id in layout.classes.values()
        return api_pb2.ClassCreateResponse(
            class_id=request.existing_class_id if known else new_id("cs"), handle_metadata=api_pb2.ClassHandleMetadata()
        )

    async def ClassGet(self, request: api_pb2.ClassGetRequest) -> api_pb2.ClassGetResponse:
        app = self._deployed(request.app_name, request.environment_name, request.app_version)
        class_id = self.plane.apps.layout(app).classes.get(request.object_tag)
        if class_id is None:
            not_found(f"App '{app.name}' has no class '{request.object_tag}'")
        return api_pb2.ClassGetResponse(class_id=class_id, handle_metadata=api_pb2.ClassHandleMetadata())

    async def FunctionGet(self, request: api_pb2.FunctionGetRequest) -> api_pb2.FunctionGetResponse:
        app = self._deployed(request.app_name, request.environment_name, request.app_version)
        layout = self.plane.apps.layout(app)
        function_id = layout.functions.get(request.object_tag)
        definition = self.plane.functions.definition(layout.definitions[function_id]) if function_id else None
        if function_id is None or definition is None:
            not_found(f"App '{app.name}' has no function '{request.object_tag}'")
        metadata = self.handle_metadata(function_id, app, definition, in_container=self.in_container)
        metadata.definition_id = layout.definitions[function_id]
        return api_pb2.FunctionGetResponse(
            function_id=function_id,
            handle_metadata=metadata,
            function=self._data(self._with_urls(definition, metadata)),
        )

    def _deployed(self, name: str, environment_name: str, version: int) -> App:
        environment = self.environment(environment_name)
        app = self.plane.apps.deployed(environment, name)
        if app is None:
            not_found(f"App '{name}' not found in environment '{environment}'")
        if version and version != app.version:
            invalid(f"local Modal serves the deployed version (v{app.version}) only, not v{version}")
        return app

    async def FunctionBindParams(
        self, request: api_pb2.FunctionBindParamsRequest
    ) -> api_pb2.FunctionBindParamsResponse:
        bound = self.plane.functions.resolve(request.function_id) or not_found(f"Function '{request.function_id}'")
        definition = self.live_definition(replace(bound, options=b""))
        if len(request.serialized_params) > MAX_PARAMS_BYTES:
            invalid(f"class parameters of {len(request.serialized_params)} bytes are over {MAX_PARAMS_BYTES} bytes")
        options = self._options(request, definition.environment)
        instance = self.plane.functions.bind(bound.function_id, request.serialized_params, options)
        definition = varied(definition, options)
        metadata = self.handle_metadata(
            bound.function_id, self.app(definition.app_id), definition.function, in_container=self.in_container
        )
        metadata.definition_id = definition.base_id
        return api_pb2.FunctionBindParamsResponse(bound_function_id=instance.bound_id, handle_metadata=metadata)

    def _options(self, request: api_pb2.FunctionBindParamsRequest, environment: str) -> bytes:
        """What is laid over the definition; empty where that is nothing."""
        options = request.function_options
        if options.HasField("resources") and not options.resources.ListFields():
            options.ClearField("resources")
        data = options.SerializeToString(deterministic=True)
        if len(data) > MAX_PARAMS_BYTES:
            invalid(f"options of {len(data)} bytes are over {MAX_PARAMS_BYTES} bytes")
        if wanted := unserved(options):
            invalid(f"local Modal doesn't serve {', '.join(wanted)}")
        for secret_id in options.secret_ids:
            secret = self.plane.secrets.get(secret_id)
            if secret is None or secret.environment != environment:
                not_found(f"Secret '{secret_id}' not found in environment '{environment}'.")
        return data
