"""How many containers there are to be: a definition's settings, and what overrides them without a deployment."""

from modal_proto import api_pb2

from local_modal.scheduler.task import Definition
from local_modal.settings import Settings
from local_modal.store.autoscalers import Autoscalers
from local_modal.store.functions import BoundFunction


class Scaling:
    """Read anew for each decision: an override acts at once."""

    def __init__(self, settings: Settings, autoscalers: Autoscalers) -> None:
        self._settings = settings
        self._autoscalers = autoscalers

    def autoscaler(self, definition: Definition, bound: BoundFunction) -> api_pb2.AutoscalerSettings:
        """A definition's settings with what overrides them for a function or an instance."""
        settings = definition.autoscaler
        for function_id in dict.fromkeys((definition.function_id, bound.bound_id)):
            settings.MergeFrom(self._autoscalers.get(function_id))
        return settings

    def spares(self, definition: Definition, bound: BoundFunction, *, shared: bool) -> int:
        """How many containers are there ahead of inputs: what the machine sets, or more where a function asks for more.

        The machine's number is for single-use containers with a snapshot, which cost next to nothing. `shared`: they
        are for all instances of a class.
        """
        forked = self._settings.prefork if definition.single_use and definition.snapshot else 0
        return min(max(forked, self.asked(definition, bound, shared=shared)), self._settings.max_containers)

    def asked(self, definition: Definition, bound: BoundFunction, *, shared: bool) -> int:
        """How many of them the function itself asks for."""
        settings = definition.autoscaler if shared else self.autoscaler(definition, bound)
        return (
            settings.min_containers
            + settings.buffer_containers
            + (self._autoscalers.waiting(definition.function_id) if shared else 0)
        )
