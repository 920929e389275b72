"""What a container is started with: its image, its files, its variables and Modal's own container arguments."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from modal_proto import api_pb2

from local_modal.ids import new_id
from local_modal.images.environment import Environment, binds
from local_modal.runtime.policy import Limits, Policy
from local_modal.runtime.zygote import Bind, LaunchSpec
from local_modal.scheduler.task import DEFAULT_SCALEDOWN_WINDOW, Task
from local_modal.settings import MIB, Settings
from local_modal.store.files import Mounts
from local_modal.store.functions import BoundFunction
from local_modal.store.secrets import Secrets

SOURCE_ROOT = "/root"
"""Where Modal mounts an app's sources, and where its containers start."""

EnvironmentOf = Callable[[str], Awaitable[Environment]]
LayoutOf = Callable[[str], api_pb2.AppLayout]


class Launch:
    """Builds the launch specification of a task."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        mounts: Mounts,
        secrets: Secrets,
        environment_of: EnvironmentOf,
        layout_of: LayoutOf,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._mounts = mounts
        self._secrets = secrets
        self._environment_of = environment_of
        self._layout_of = layout_of

    async def spec(self, task: Task, bound: BoundFunction, shared: bool) -> LaunchSpec:
        """Everything that `task` is started with.

        Args:
            task: the container, or the process that containers are forked from.
            bound: whose parameters it has, unless they come with each input.
            shared: parameters are kept from the snapshot phase, which sees placeholders.
        """
        definition = task.definition
        function = definition.function
        image = await self._environment_of(function.image_id)
        return LaunchSpec(
            python=image.python,
            read_only=image.read_only,
            binds=self._binds(image, function),
            env=self._variables(task, image),
            container_arguments=self._arguments(task, bound, shared=shared).SerializeToString(),
            snapshot=definition.snapshot,
            hide_params=shared,
            rest_seconds=definition.autoscaler.scaledown_window or DEFAULT_SCALEDOWN_WINDOW,
            limits=self._limits(function),
            policy=self._policy,
        )

    def _binds(self, image: Environment, function: api_pb2.Function) -> tuple[Bind, ...]:
        shown = dict(image.binds)
        if function.mount_ids:
            shown |= binds(self._mounts.layout(list(function.mount_ids)))
        return tuple(Bind(source, target) for target, source in shown.items())

    def _variables(self, task: Task, image: Environment) -> dict[str, str]:
        definition = task.definition
        variables = {"PYTHONPATH": SOURCE_ROOT, **image.env}
        for secret_id in definition.function.secret_ids:
            variables.update(self._secrets.values(secret_id) or {})
        return variables | {
            "MODAL_SERVER_URL": "unix:///task.sock",
            "MODAL_IS_REMOTE": "1",
            "MODAL_TASK_ID": task.task_id,
            "MODAL_IMAGE_ID": definition.function.image_id,
            "MODAL_ENVIRONMENT": definition.environment,
            "MODAL_CLOUD_PROVIDER": "LOCAL",
            "MODAL_REGION": "local",
            **({"MODAL_ENABLE_SNAP_RESTORE": "1"} if definition.snapshot else {}),
        }

    def _arguments(self, task: Task, bound: BoundFunction, *, shared: bool) -> api_pb2.ContainerArguments:
        definition = task.definition
        function = api_pb2.Function()
        function.CopyFrom(definition.function)
        function.is_checkpointing_function = definition.snapshot
        return api_pb2.ContainerArguments(
            task_id=task.task_id,
            function_id=bound.bound_id,
            app_id=definition.app_id,
            function_def=function,
            serialized_params=b"" if shared else bound.params,
            environment_name=definition.environment,
            checkpoint_id=new_id("ch") if definition.snapshot else None,
            app_layout=self._layout_of(definition.app_id),
        )

    def _limits(self, function: api_pb2.Function) -> Limits:
        memory_mib = function.resources.memory_mb_max or function.resources.memory_mb or self._settings.memory_mib
        return replace(
            Limits(),
            memory_bytes=memory_mib * MIB,
            scratch_bytes=self._settings.scratch_mib * MIB,
            processes=self._settings.processes,
        )
