"""What a setting can be: the kinds of values, how each is read from a variable's text, and how it is described.

Standard library only, as `modal_app.settings`, which is made of these; there a field's annotation names its kind.
"""

import re
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin

Schema = dict[str, Any]


class Kind(Protocol):
    """Reads a value from text, and says what it takes."""

    def parse(self, text: str) -> Any:
        """The value that `text` stands for; ValueError if it stands for none."""

    @property
    def allowed(self) -> str:
        """What it takes, to follow "must be"."""

    @property
    def schema(self) -> Schema:
        """The same for programs: `type`, and what bounds it."""


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`, both included; whole unless `decimal`."""

    low: float
    high: float | None = None
    unit: str = ""
    decimal: bool = False

    def parse(self, text: str) -> float:
        form = r"[0-9]{1,18}(\.[0-9]{1,18})?" if self.decimal else r"[0-9]{1,18}"
        if not re.fullmatch(form, text):
            raise ValueError(text)
        value = float(text) if self.decimal else int(text)
        if value < self.low or (self.high is not None and value > self.high):
            raise ValueError(text)
        return value

    @property
    def allowed(self) -> str:
        name = "a number" if self.decimal else "a whole number"
        bounds = f"of at least {self.low}" if self.high is None else f"from {self.low} to {self.high}"
        return f"{name} {bounds}" + (f" ({self.unit})" if self.unit else "")

    @property
    def schema(self) -> Schema:
        bounds = {"minimum": self.low, "maximum": self.high, "unit": self.unit or None}
        given = {name: value for name, value in bounds.items() if value is not None}
        return {"type": "number" if self.decimal else "integer", **given}


@dataclass(frozen=True)
class Text:
    """Text that `pattern` matches as a whole; `form` says so in words."""

    pattern: str
    form: str

    def parse(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(text)
        return text

    @property
    def allowed(self) -> str:
        return self.form

    @property
    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    choices: Sequence[str]

    def parse(self, text: str) -> str:
        if text not in self.choices:
            raise ValueError(text)
        return text

    @property
    def allowed(self) -> str:
        return f"one of {', '.join(self.choices)}"

    @property
    def schema(self) -> Schema:
        return {"type": "string", "choices": list(self.choices)}


class Flag:
    """True or false, in any case."""

    allowed = "true or false"

    def parse(self, text: str) -> bool:
        words = {"true": True, "false": False}
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]

    @property
    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Items:
    """Any number of values, none of them twice; in text, commas or white space lie between them."""

    item: Kind

    def parse(self, text: str) -> tuple[Any, ...]:
        # A comma within brackets belongs to a requirement's extras.
        items = tuple(self.item.parse(part) for part in re.split(r"[,\s]+(?![^\[]*\])", text.strip()) if part)
        if len(set(items)) < len(items):
            raise ValueError(text)
        return items

    @property
    def allowed(self) -> str:
        return f"a list without repetitions, its items separated by commas, each {self.item.allowed}"

    @property
    def schema(self) -> Schema:
        return {"type": "list", "items": self.item.schema}


def kind_of(annotation: Any) -> tuple[Kind, bool]:
    """The kind that a field's annotation names, and whether the field may also have no value (None)."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    kind: Kind
    if origin in (Union, types.UnionType):
        (given,) = [argument for argument in arguments if argument is not type(None)]
        return kind_of(given)[0], True
    if origin is Annotated:
        kind = arguments[1]
    elif origin is Literal:
        kind = Choice(arguments)
    elif origin is tuple:
        kind = Items(kind_of(arguments[0])[0])
    elif annotation is bool:
        kind = Flag()
    else:
        raise TypeError(f"no kind of setting is annotated {annotation!r}")
    return kind, False
