"""Functions, their staged and live definitions, and functions bound to parameters and options."""

import time
from dataclasses import dataclass

from modal_proto import api_pb2

from local_modal.ids import derived_id, new_id
from local_modal.store.database import Database

FRESH_SECONDS = 3600.0
"""How exactly the time of a row's last use is known (s)."""


@dataclass(frozen=True)
class Function:
    """A function of an app; a class is one service function with the tag ``Name.*``."""

    function_id: str
    app_id: str
    tag: str


@dataclass(frozen=True)
class BoundFunction:
    """What a call names: a function, the parameters of its instance and the options laid over its definition.

    `params`: a serialised ClassParameterSet; `options`: serialised FunctionOptions; each empty where there are none.
    """

    bound_id: str
    function_id: str
    params: bytes
    options: bytes = b""


class Functions:
    """Definitions are content: the same definition has the same id, and is stored once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, app_id: str, tag: str) -> Function:
        """The function with that tag, made where the app has none: its id stays through redeployments."""
        row = self._database.one("SELECT function_id FROM functions WHERE app_id = ? AND tag = ?", app_id, tag)
        if row:
            self._used("functions", "function_id", row["function_id"])
            return Function(row["function_id"], app_id, tag)
        function = Function(new_id("fu"), app_id, tag)
        self._database.run("INSERT INTO functions VALUES (?, ?, ?, ?)", function.function_id, app_id, tag, time.time())
        return function

    def get(self, function_id: str) -> Function | None:
        """The function of that id."""
        row = self._database.one("SELECT function_id, app_id, tag FROM functions WHERE function_id = ?", function_id)
        return Function(**dict(row)) if row else None

    def stage(self, function_id: str, definition: api_pb2.Function) -> str:
        """Keep a definition; it goes live when a deployment names it."""
        ordered = api_pb2.Function()
        ordered.CopyFrom(definition)
        ordered.mount_ids[:] = sorted(definition.mount_ids)  # the client sends a set
        data = ordered.SerializeToString(deterministic=True)
        definition_id = derived_id("de", function_id, data)
        self._database.run(
            "INSERT INTO definitions VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET used_at = excluded.used_at",
            *(definition_id, function_id, data, time.time()),
        )
        return definition_id

    def definition(self, definition_id: str) -> api_pb2.Function | None:
        """The definition of that id."""
        row = self._database.one("SELECT definition FROM definitions WHERE definition_id = ?", definition_id)
        return api_pb2.Function.FromString(row["definition"]) if row else None

    def autoscaler(self, definition_id: str) -> api_pb2.AutoscalerSettings:
        """A definition's settings; empty ones where there is no such definition."""
        definition = self.definition(definition_id)
        return definition.autoscaler_settings if definition else api_pb2.AutoscalerSettings()

    def bind(self, function_id: str, params: bytes, options: bytes = b"") -> BoundFunction:
        """The same id for the same parameters and options, so that handles outlive the control plane."""
        bound = self.instance(function_id, params, options)
        self._database.run(
            "INSERT OR IGNORE INTO bound_functions (bound_id, function_id, params, options, used_at) "
            "VALUES (?, ?, ?, ?, ?)",
            *(bound.bound_id, bound.function_id, bound.params, bound.options, time.time()),
        )
        return bound

    def instance(self, function_id: str, params: bytes, options: bytes = b"") -> BoundFunction:
        """What `bind` gives, without keeping it: for a call that nobody names afterwards."""
        parts = (function_id, params, options) if options else (function_id, params)
        return BoundFunction(derived_id("fu", "bound", *parts), function_id, params, options)

    def resolve(self, function_id: str) -> BoundFunction | None:
        """What an id that a call names stands for: a bound function, or a function without parameters."""
        row = self._database.one("SELECT * FROM bound_functions WHERE bound_id = ?", function_id)
        if row is None:
            return BoundFunction(function_id, function_id, b"") if self.get(function_id) else None
        if time.time() - row["used_at"] > FRESH_SECONDS:
            self._used("bound_functions", "bound_id", function_id)
        return BoundFunction(row["bound_id"], row["function_id"], row["params"], row["options"])

    def _used(self, table: str, key: str, value: str) -> None:
        self._database.run(f"UPDATE {table} SET used_at = ? WHERE {key} = ?", time.time(), value)  # noqa: S608 - our own
