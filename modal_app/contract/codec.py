"""The two directions of values ↔ data: `Encoder` (in the container) and `Decoder` (on the server), and what a kind is.

Plain values stand for themselves. Every other supported value becomes a dict whose "$kind" names one of the kinds of
`modal_app.contract.kinds`. A dict of the user's that has a "$kind" key, or keys that aren't str, is itself wrapped as a
kind, so that nothing a user returns can be mistaken for one of ours. What has no kind is refused: the error names the
way to it and its type. The decoder takes nothing on trust: each field is checked for its exact type before it is used.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from modal_app.contract.errors import ContractError
from modal_app.settings import Limits

KIND = "$kind"
Fields = dict[str, Any]

BASES = (dict, list, tuple, set, frozenset, str, bytes, int, float)
"""Types whose subclasses are refused, since their methods can't come along; what they hold can."""
INT_MIN, INT_MAX = -(2**64), 2**64 - 1


@dataclass(frozen=True)
class Kind:
    """How one Python type becomes data and comes back.

    `encode` gives the fields; `decode` gets them, all of `fields` and nothing else present, none of them checked yet.
    Types match exactly, unless `subclasses`.
    """

    name: str
    types: tuple[type, ...]
    fields: tuple[str, ...]
    encode: Callable[[Any, "Encoder"], Fields]
    decode: Callable[[Fields, "Decoder"], Any]
    subclasses: bool = False


class _Walk:
    """Where in a value the codec is, for messages, and how far it may go."""

    def __init__(self, limits: Limits, kinds: Iterable[Kind]) -> None:
        self.limits = limits
        self.kinds = tuple(kinds)
        self._by_name = {kind.name: kind for kind in self.kinds}
        self._path: list[str] = []

    @property
    def where(self) -> str:
        return "result" + "".join(self._path)

    def error(self, problem: str) -> ContractError:
        return ContractError(f"{self.where} {problem}")

    def _enter(self, step: str) -> None:
        if len(self._path) >= self.limits.result_depth:
            raise self.error(f"is nested deeper than {self.limits.result_depth} levels")
        self._path.append(step)


class Encoder(_Walk):
    """Turns what a block returned into data. One per result: it counts against the limits of one."""

    def __init__(self, limits: Limits, kinds: Iterable[Kind]) -> None:
        super().__init__(limits, kinds)
        self._by_type = {python_type: kind for kind in self.kinds for python_type in kind.types}
        self._open: set[int] = set()
        self._bytes = 0
        self._items = 0

    def encode(self, value: Any) -> Any:
        """`value` as data.

        Raises:
            ContractError: something in it can't be data, contains itself, or exceeds a limit.
        """
        self._count(1)
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value
        if kind is int:
            return value if INT_MIN <= value <= INT_MAX else self._tagged("int", value)
        if kind is str:
            return self._text(value)
        if kind is bytes:
            self.spend(len(value))
            return value
        return self._composite(value)

    def child(self, step: str, value: Any) -> Any:
        """`value`, reached by `step` (such as `['key']` or `.field`), as data."""
        self._enter(step)
        encoded = self.encode(value)
        self._path.pop()
        return encoded

    def items(self, values: Iterable[Any]) -> list[Any]:
        """Each of `values`, reached by its index, as data."""
        return [self.child(f"[{index}]", value) for index, value in enumerate(values)]

    def spend(self, size: int) -> None:
        """Counts `size` bytes of the result."""
        self._bytes += size
        if self._bytes > self.limits.result_bytes:
            raise self.error(
                f"brings the result to more than {self.limits.result_bytes:,} bytes; return less, or smaller images"
            )

    def _count(self, items: int) -> None:
        self._items += items
        if self._items > self.limits.result_values:
            raise self.error(f"brings the result to more than {self.limits.result_values:,} values")

    def _composite(self, value: Any) -> Any:
        if id(value) in self._open:
            raise self.error("contains itself; a result must be a tree")
        self._open.add(id(value))
        try:
            if type(value) is list:
                return self.items(value)
            if type(value) is dict and _stands_for_itself(value):
                self._count(len(value))
                self.spend(sum(map(len, value)))
                return {key: self.child(f"[{key!r}]", item) for key, item in value.items()}
            return self._tagged(self._kind_of(value), value)
        finally:
            self._open.discard(id(value))

    def _kind_of(self, value: Any) -> str:
        if type(value) in self._by_type:
            return self._by_type[type(value)].name
        for kind in self.kinds:
            if kind.subclasses and isinstance(value, kind.types):
                return kind.name
        name = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        base = next((base.__name__ for base in BASES if isinstance(value, base)), None)
        instead = f"{base}(…) of it" if base else "numbers, text, arrays or images"
        raise self.error(f"is of type {name}, which can't leave the sandbox; return {instead}")

    def _tagged(self, name: str, value: Any) -> Fields:
        kind = self._by_name[name]
        self._count(2 + 2 * len(kind.fields))
        return {KIND: name, **kind.encode(value, self)}

    def _text(self, value: str) -> Any:
        self.spend(len(value))
        return value if _is_unicode(value) else self._tagged("str", value)


class Decoder(_Walk):
    """Turns data that a container sent back into values. It decodes what `Encoder` writes and refuses the rest."""

    def decode(self, data: Any) -> Any:
        """The value that `data` stands for; `data` comes from `modal_app.contract.cbor.decode`.

        Raises:
            ContractError: `data` isn't what an encoder writes, or exceeds a limit.
        """
        if type(data) is list:
            return self.items(data)
        if type(data) is not dict:
            return data
        if KIND not in data:
            return {key: self.child(f"[{key[:100]!r}]", item) for key, item in data.items()}
        return self._kind(data)

    def child(self, step: str, data: Any) -> Any:
        """The value that `data`, reached by `step`, stands for."""
        self._enter(step)
        decoded = self.decode(data)
        self._path.pop()
        return decoded

    def items(self, data: list[Any]) -> list[Any]:
        """The values of a list, each reached by its index."""
        return [self.child(f"[{index}]", item) for index, item in enumerate(data)]

    def expect(self, data: Any, *types: type | None) -> Any:
        """`data`, if it is of exactly one of `types` (None allows null)."""
        if not any(data is None if expected is None else type(data) is expected for expected in types):
            names = " or ".join("null" if expected is None else expected.__name__ for expected in types)
            raise self.error(f"has a field of type {type(data).__name__} where {names} is expected")
        return data

    def fields(self, data: Any, names: tuple[str, ...]) -> Fields:
        """`data`, if it is a dict with exactly these keys."""
        self.expect(data, dict)
        if data.keys() != set(names):
            raise self.error(f"doesn't have exactly the fields {', '.join(names)}")
        return dict(data)

    def integers(self, data: Any, *, low: int, high: int) -> tuple[int, ...]:
        """`data`, if it is a list of integers from `low` to `high`."""
        self.expect(data, list)
        if not all(type(item) is int and low <= item <= high for item in data):
            raise self.error(f"has a list that may only hold integers from {low} to {high}")
        return tuple(data)

    def _kind(self, data: Fields) -> Any:
        name = data[KIND]
        kind = self._by_name.get(name) if type(name) is str else None
        if kind is None:
            raise self.error("is of a kind that this side doesn't know")
        fields = self.fields({key: item for key, item in data.items() if key != KIND}, kind.fields)
        return kind.decode(fields, self)


def _stands_for_itself(value: dict[Any, Any]) -> bool:
    return KIND not in value and all(type(key) is str and _is_unicode(key) for key in value)


def _is_unicode(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
