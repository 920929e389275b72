"""What a property of a resource may hold: types, rules, and what is wrong with an input, all problems at once."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from infra.modal_provider.values import UNKNOWN


@dataclass(frozen=True)
class Property:
    """An input. `problem` says what is wrong with a value, or nothing; values not known yet are never asked about."""

    problem: Callable[[Any], str | None]
    required: bool = False
    replaces: bool = False
    """A change of it needs a new object."""
    secret: bool = False
    default: Any = None

    def with_(self, **changes: Any) -> "Property":
        """The same with other flags."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Output:
    """What only Modal can tell. `changes`: an update may change it, so previews of updates don't know it."""

    secret: bool = False
    changes: bool = False


def required(prop: Property) -> Property:
    """The same, to be given always."""
    return prop.with_(required=True)


def text(pattern: str = r"(?s).+", rule: str = "text that isn't empty") -> Property:
    """Text; `rule` says in words what `pattern` demands."""

    def problem(value: Any) -> str | None:
        return None if isinstance(value, str) and re.fullmatch(pattern, value) else f"must be {rule}"

    return Property(problem)


def object_name(limit: int = 64) -> Property:
    """A name as Modal's objects have them (modal/_utils/name_utils.py)."""
    return text(rf"[A-Za-z0-9._-]{{1,{limit}}}", f"letters, digits, '.', '_' and '-', {limit} at most")


def flag() -> Property:
    """True or false."""
    return Property(lambda value: None if isinstance(value, bool) else "must be true or false")


def count(most: int) -> Property:
    """A whole number from 1."""

    def problem(value: Any) -> str | None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return None if whole and 1 <= value <= most else f"must be a whole number from 1 to {most}"

    return Property(problem)


def texts(*, empty: bool = True) -> Property:
    """A list of texts without duplicates."""

    def problem(value: Any) -> str | None:
        if not isinstance(value, list) or not all(
            item is UNKNOWN or (isinstance(item, str) and item) for item in value
        ):
            return "must be a list of texts"
        if not value and not empty:
            return "must name at least one"
        known = [item for item in value if item is not UNKNOWN]
        return None if len(known) == len(set(known)) else "names one of its items twice"

    return Property(problem)


def text_map(key: str = r".+", key_rule: str = "", values: tuple[str, ...] = ()) -> Property:
    """A map of texts; `key` and `key_rule` bound its keys, `values` lists the values that there are."""

    def problem(value: Any) -> str | None:
        if not isinstance(value, Mapping) or not all(
            item is UNKNOWN or isinstance(item, str) for item in value.values()
        ):
            return "must be a map of texts"
        if strange := sorted(item for item in value if not re.fullmatch(key, item)):
            return f"has the key {', '.join(map(repr, strange))}; a key is {key_rule}"
        wrong = sorted(item for item, held in value.items() if values and held is not UNKNOWN and held not in values)
        return f"must hold {', '.join(values)}; {', '.join(map(repr, wrong))} holds something else" if wrong else None

    return Property(problem)


def _is_text(value: Any) -> bool:
    return value is UNKNOWN or isinstance(value, str)


def problems(properties: Mapping[str, Property], inputs: Mapping[str, Any]) -> dict[str, str]:
    """By property: what is unknown, missing, or not what it must be."""
    found = {key: f"is no property; there are {', '.join(properties)}" for key in inputs if key not in properties}
    found |= {key: "is required" for key, prop in properties.items() if prop.required and key not in inputs}
    for key, prop in properties.items():
        value = inputs.get(key)
        if value is not None and value is not UNKNOWN and (wrong := prop.problem(value)):
            found[key] = wrong
    return found


def changed(old: Any, new: Any, path: str) -> dict[str, str]:
    """Paths at which two values differ, to ADD, DELETE or UPDATE; maps are compared key by key, all else as a whole."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: dict[str, str] = {}
        for key in sorted(old.keys() | new.keys()):
            found |= changed(old.get(key), new.get(key), _path(path, key))
        return found
    if old == new:
        return {}
    return {path: "ADD" if old is None else "DELETE" if new is None else "UPDATE"}


def _path(path: str, key: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_]\w*", key)
    return (f"{path}.{key}" if path else key) if plain else f"{path}[{key!r}]".replace("'", '"')
