"""What every resource is: its properties, and its life cycle in plain values. The servicer does the rest."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from infra.modal_provider.properties import Output, Property
from infra.modal_provider.values import UNKNOWN

Values = dict[str, Any]


class ProviderError(Exception):
    """What went wrong and what to do, in a sentence that the engine shows at the resource."""


class Cancelled(ProviderError):
    """The engine asked to stop."""

    def __init__(self) -> None:
        super().__init__("cancelled before it was done; the next deployment picks it up")


class Partial(ProviderError):
    """The object is there but not as it should be: it is kept in the state, and the next update repairs it."""

    def __init__(self, reason: str, resource_id: str, outputs: Values) -> None:
        super().__init__(reason)
        self.resource_id = resource_id
        self.outputs = outputs


class Cancellation:
    """Whether the engine asked to stop, and what is to be stopped then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._callbacks: list[Callable[[], None]] = []

    def cancel(self) -> None:
        """Stops what is registered, and refuses what comes later."""
        with self._lock:
            self._cancelled = True
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raises Cancelled where it was asked for."""
        if self._cancelled:
            raise Cancelled

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """`callback` runs on cancel while the block does, at once when it is too late."""
        with self._lock:
            self._callbacks.append(callback)
            late = self._cancelled
        try:
            if late:
                callback()
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


@dataclass(frozen=True)
class Operation:
    """What an operation is given."""

    inputs: Values
    """What the program wants; for a read or a delete, what the state holds; empty for an import."""
    progress: Callable[[str], None]
    """Shows a line beside the resource."""
    cancellation: Cancellation
    id: str = ""
    old: Values = field(default_factory=dict)
    """The outputs that the state holds."""


class Reading(NamedTuple):
    """An object as it is at Modal: inputs that would make it, and outputs."""

    inputs: Values
    outputs: Values


class Resource(ABC):
    """One type of resource.

    Operations raise modal's exceptions, or ProviderError; Partial where the object exists but isn't complete.
    """

    kind: ClassVar[str]
    """The last part of its type, `modal:index:<kind>`."""
    properties: ClassVar[Mapping[str, Property]]
    outputs: ClassVar[Mapping[str, Output]]
    identity: ClassVar[tuple[str, ...]]
    """Inputs that make the id, in this order; none where Modal makes it."""
    at_modal: ClassVar[bool] = True
    """Whether Modal has it; operations on anything else don't ask first whether Modal can be reached."""
    managers_only: ClassVar[bool] = False
    """Whether Modal shows it only to who manages the workspace; to others it is what the state says, with a warning."""

    @abstractmethod
    def create(self, op: Operation) -> tuple[str, Values]:
        """Makes the object, or adopts what an interrupted run left; gives its id and outputs."""

    @abstractmethod
    def read(self, op: Operation) -> Reading | None:
        """The object as it is; None, or modal's NotFoundError, where Modal says that it isn't there.

        What Modal never shows again is taken from the state.
        """

    @abstractmethod
    def update(self, op: Operation) -> Values:
        """Makes the object what the inputs say, from whatever it is; gives its outputs."""

    @abstractmethod
    def delete(self, op: Operation) -> None:
        """Deletes it; modal's NotFoundError means that it is gone already."""

    def id_of(self, inputs: Values) -> str:
        """The id that these inputs make."""
        return "/".join(str(inputs[key]) for key in self.identity)

    def identify(self, resource_id: str) -> Values:
        """The inputs that an id stands for.

        Raises:
            ProviderError: it isn't one.
        """
        parts = resource_id.split("/")
        if len(parts) != len(self.identity) or not all(parts):
            form = "/".join(key.upper() for key in self.identity)
            raise ProviderError(f"{resource_id!r} is no id of {self.kind}: ids are {form}")
        return dict(zip(self.identity, parts, strict=True))

    def delete_before_replace(self, old: Values, new: Values) -> bool:
        """Whether old and new object would be one and the same at Modal, so that they can't live side by side."""
        return bool(self.identity) and all(
            UNKNOWN in (old.get(key), new.get(key)) or old.get(key) == new.get(key) for key in self.identity
        )

    @property
    def secret(self) -> frozenset[str]:
        """Properties that are secret in the state, whether or not the program said so."""
        both: dict[str, Property | Output] = {**self.properties, **self.outputs}
        return frozenset(key for key, entry in both.items() if entry.secret)

    def with_defaults(self, inputs: Values) -> Values:
        """The inputs, with the defaults of those that aren't given."""
        defaults = {key: prop.default for key, prop in self.properties.items() if prop.default is not None}
        return {**defaults, **inputs}
