"""Autoscaler settings that override a definition's, until the next deployment of its app."""

from modal_proto import api_pb2

from local_modal.store.database import Database

OWN_AND_BOUND = "function_id = ? OR function_id IN (SELECT bound_id FROM bound_functions WHERE function_id = ?)"


class Autoscalers:
    """By function id, bound to parameters or not."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def update(self, function_id: str, settings: api_pb2.AutoscalerSettings) -> None:
        """Lay the given settings over those that are there."""
        merged = self.get(function_id)
        merged.MergeFrom(settings)
        self._database.run("INSERT OR REPLACE INTO autoscalers VALUES (?, ?)", function_id, merged.SerializeToString())

    def get(self, function_id: str) -> api_pb2.AutoscalerSettings:
        """Empty where nothing is overridden."""
        row = self._database.one("SELECT settings FROM autoscalers WHERE function_id = ?", function_id)
        return api_pb2.AutoscalerSettings.FromString(row["settings"]) if row else api_pb2.AutoscalerSettings()

    def waiting(self, function_id: str) -> int:
        """Containers asked for ahead of inputs, by the function and everything bound to it."""
        rows = self._database.all(f"SELECT settings FROM autoscalers WHERE {OWN_AND_BOUND}", function_id, function_id)  # noqa: S608
        every = [api_pb2.AutoscalerSettings.FromString(row["settings"]) for row in rows]
        return sum(settings.min_containers + settings.buffer_containers for settings in every)

    def asking(self) -> list[str]:
        """Ids of the functions and instances that ask for containers ahead of inputs."""
        rows = self._database.all("SELECT * FROM autoscalers")
        every = {row["function_id"]: api_pb2.AutoscalerSettings.FromString(row["settings"]) for row in rows}
        return [key for key, settings in every.items() if settings.min_containers or settings.buffer_containers]

    def forget(self, function_id: str) -> None:
        """A deployment sets a function, and whatever is bound to it, back to its definition."""
        self._database.run(f"DELETE FROM autoscalers WHERE {OWN_AND_BOUND}", function_id, function_id)  # noqa: S608
