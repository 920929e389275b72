"""What the value of a stack key can be: reads it from Pulumi's text, and says in words what is allowed.

Pulumi hands config over as text, lists and maps as JSON. The shapes are those in which `modal_app.settings` describes
the app's settings, with maps of variables added.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class WrongValue(ValueError):
    """The message says what is wrong, to follow the key."""


@dataclass(frozen=True)
class Kind:
    """`type` is integer, number, string, boolean, list (of strings) or map (from variables' names to strings)."""

    type: str
    allowed: str
    """In words, to follow "must be"."""
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""
    """What a string matches, or each item of a list."""
    choices: tuple[str, ...] = ()
    optional: bool = False
    """Whether it may be empty (`''`, 0 for a whole number), which is None: the choice is Modal's."""

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Kind":
        """From a description that `modal_app.settings` gives."""
        is_list = facts["type"] == "list"
        allowed = str(facts["allowed"])
        return cls(
            type=facts["type"],
            allowed=f"a list without repetitions, each {allowed.partition('each ')[2]}" if is_list else allowed,
            minimum=facts.get("minimum"),
            maximum=facts.get("maximum"),
            pattern=facts["items"]["pattern"] if is_list else facts.get("pattern", ""),
            choices=tuple(facts.get("choices", ())),
            optional=facts["optional"],
        )

    @property
    def empty(self) -> Any:
        """What stands for no value in a stack's file."""
        return {"integer": 0, "list": [], "map": {}}.get(self.type, "")

    @property
    def rule(self) -> str:
        """What is allowed, the empty value included."""
        return f"{self.allowed}, or {self.empty!r} (not set)" if self.optional else self.allowed

    def parse(self, text: str) -> Any:
        """The value.

        Raises:
            WrongValue: it is none of this kind. Values of maps are not in the message.
        """
        if self.optional and text in {"", "0"} and text == str(self.empty):
            return None
        if self.type == "map":
            return self._map(text)
        try:
            return self._plain(text)
        except ValueError:
            raise WrongValue(f"{text!r} must be {self.rule}") from None

    def _plain(self, text: str) -> Any:
        match self.type:
            case "integer":
                return self._bounded(int(_matching(r"-?[0-9]{1,18}", text)))
            case "number":
                return self._bounded(float(_matching(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text)))
            case "boolean":
                return {"true": True, "false": False}[_matching("true|false", text)]
            case "list":
                items = json.loads(text)
                if not isinstance(items, list) or len({str(item) for item in items}) < len(items):
                    raise ValueError(text)
                return tuple(_matching(self.pattern, item) for item in items)
            case _:
                if self.choices and text not in self.choices:
                    raise ValueError(text)
                return _matching(self.pattern, text) if self.pattern else text

    def _bounded(self, value: float) -> float:
        if (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum):
            raise ValueError(value)
        return value

    def _map(self, text: str) -> dict[str, str]:
        try:
            items = json.loads(text)
        except ValueError:
            items = None
        if not isinstance(items, dict):
            raise WrongValue(f"must be {self.allowed}")
        if strange := sorted(name for name in items if not VARIABLE.fullmatch(name)):
            raise WrongValue(f"{', '.join(map(repr, strange))}: a variable's name is letters, digits and '_'")
        if untold := sorted(name for name, value in items.items() if not isinstance(value, str)):
            raise WrongValue(f"{', '.join(untold)}: must be text; quote numbers, true and false")
        return items


def _matching(pattern: str, text: Any) -> str:
    if not isinstance(text, str) or not re.fullmatch(pattern, text):
        raise ValueError(text)
    return text
