"""What containers say: their life, their inputs, their answers. The socket that it comes from says whose it is."""

from collections.abc import AsyncIterator

import google.protobuf.empty_pb2
from modal_proto import api_pb2

from local_modal.rpc.service import Service, not_found
from local_modal.scheduler.task import Task
from local_modal.store.apps import App

Empty = google.protobuf.empty_pb2.Empty


class ContainerService(Service):
    """Calls of containers, and calls about them."""

    async def ContainerHello(self, _request: Empty) -> Empty:
        _ = self.task
        return Empty()

    async def ContainerCheckpoint(self, _request: api_pb2.ContainerCheckpointRequest) -> Empty:
        """The container is ready for its snapshot, which its own process takes by forking."""
        _ = self.task
        return Empty()

    async def ContainerHeartbeat(
        self, _request: api_pb2.ContainerHeartbeatRequest
    ) -> api_pb2.ContainerHeartbeatResponse:
        return await self.task.heartbeat()

    async def FunctionGetInputs(self, _request: api_pb2.FunctionGetInputsRequest) -> api_pb2.FunctionGetInputsResponse:
        return await self.plane.scheduler.get_inputs(self.task)

    async def FunctionPutOutputs(self, request: api_pb2.FunctionPutOutputsRequest) -> Empty:
        self.plane.scheduler.answers.put_outputs(self.task, request.outputs)
        return Empty()

    async def FunctionCallPutDataOut(self, request: api_pb2.FunctionCallPutDataRequest) -> Empty:
        await self.plane.scheduler.answers.put_data(self.task, request)
        return Empty()

    async def FunctionCallGetDataIn(
        self, request: api_pb2.FunctionCallGetDataRequest
    ) -> AsyncIterator[api_pb2.DataChunk]:
        async for chunk in self.plane.scheduler.answers.follow_data(self.task, request):
            yield chunk

    async def TaskResult(self, request: api_pb2.TaskResultRequest) -> Empty:
        self.plane.scheduler.answers.task_result(self.task, request.result)
        return Empty()

    async def TaskList(self, request: api_pb2.TaskListRequest) -> api_pb2.TaskListResponse:
        environment = self.environment(request.environment_name)
        apps = {app.app_id: app for app in self.plane.apps.all(environment)}
        if request.app_id:
            apps = {request.app_id: self.app(request.app_id)}
        return api_pb2.TaskListResponse(
            tasks=[
                self._stats(apps[task.definition.app_id], task)
                for task in self.plane.scheduler.active_tasks()
                if task.definition.app_id in apps
            ]
        )

    async def ContainerStop(self, request: api_pb2.ContainerStopRequest) -> api_pb2.ContainerStopResponse:
        task = next((task for task in self.plane.scheduler.tasks() if task.task_id == request.task_id), None)
        if task is None:
            not_found(f"Container '{request.task_id}' not found.")
        self.authorise(task.definition.environment)
        if request.graceful:
            task.stop()
        else:
            task.end()
        return api_pb2.ContainerStopResponse()

    async def TaskGetInfo(self, request: api_pb2.TaskGetInfoRequest) -> api_pb2.TaskGetInfoResponse:
        info = self.plane.scheduler.known_task(request.task_id) or self.plane.logs.container(request.task_id)
        if info is None:
            not_found(f"Container '{request.task_id}' not found.")
        self.app(info.app_id)
        return api_pb2.TaskGetInfoResponse(
            app_id=info.app_id,
            info=api_pb2.TaskInfo(
                id=info.task_id,
                enqueued_at=info.started_at,
                started_at=info.started_at,
                finished_at=info.finished_at,
            ),
        )

    async def FunctionGetDynamicConcurrency(
        self, _request: api_pb2.FunctionGetDynamicConcurrencyRequest
    ) -> api_pb2.FunctionGetDynamicConcurrencyResponse:
        return api_pb2.FunctionGetDynamicConcurrencyResponse(concurrency=self.plane.scheduler.concurrency(self.task))

    def _stats(self, app: App, task: Task) -> api_pb2.TaskStats:
        return api_pb2.TaskStats(
            task_id=task.task_id,
            app_id=app.app_id,
            app_description=app.description,
            started_at=task.started_at,
            enqueued_at=task.started_at,
        )
