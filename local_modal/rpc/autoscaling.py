"""How many containers are kept waiting, changed without a deployment."""

from modal_proto import api_pb2

from local_modal.rpc.service import Service, not_found
from local_modal.scheduler.task import Definition
from local_modal.store.functions import BoundFunction


class AutoscalingService(Service):
    """Minimum and buffer containers of a function, or of one bound to parameters."""

    async def FunctionUpdateSchedulingParams(
        self, request: api_pb2.FunctionUpdateSchedulingParamsRequest
    ) -> api_pb2.FunctionUpdateSchedulingParamsResponse:
        bound, definition = self._found(request.function_id)
        self.plane.autoscalers.update(bound.bound_id, request.settings)
        self.plane.scheduler.scale(definition, bound)
        return api_pb2.FunctionUpdateSchedulingParamsResponse(current_settings=self._current(bound, definition))

    async def FunctionGetSchedulingParams(
        self, request: api_pb2.FunctionGetSchedulingParamsRequest
    ) -> api_pb2.FunctionGetSchedulingParamsResponse:
        bound, definition = self._found(request.function_id)
        return api_pb2.FunctionGetSchedulingParamsResponse(
            autoscaler_configuration=api_pb2.AutoscalerConfiguration(
                settings=self._current(bound, definition),
                static_settings=definition.autoscaler,
                override_settings=self.plane.autoscalers.get(bound.bound_id),
            )
        )

    async def FunctionGetCurrentStats(self, request: api_pb2.FunctionGetCurrentStatsRequest) -> api_pb2.FunctionStats:
        bound, _ = self._found(request.function_id)
        return self.plane.scheduler.stats(bound)

    def _found(self, function_id: str) -> tuple[BoundFunction, Definition]:
        bound = self.plane.functions.resolve(function_id) or not_found(f"Function '{function_id}' not found.")
        return bound, self.live_definition(bound)

    def _current(self, bound: BoundFunction, definition: Definition) -> api_pb2.AutoscalerSettings:
        return self.plane.scheduler.scaling.autoscaler(definition, bound)
