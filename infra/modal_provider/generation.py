"""Names of what is rotated: `<name>-<generation>`, so that two generations can live side by side at Modal."""

import re

from infra.modal_provider.properties import Property, count
from infra.modal_provider.resource import Values

MOST = 1_000_000


def generation() -> Property:
    """The input: the number of the rotation, from 1. Another one makes a new object, before the old one is deleted."""
    return count(MOST).with_(replaces=True, default=1)


def generation_name(inputs: Values) -> str:
    """The name at Modal."""
    return f"{inputs['name']}-{inputs['generation']}"


def split_generation(name: str) -> Values:
    """Back from it; a name that has no generation is of the first."""
    match = re.fullmatch(r"(?P<name>.+)-(?P<generation>[1-9]\d*)", name)
    if match is None:
        return {"name": name, "generation": 1}
    return {"name": match["name"], "generation": int(match["generation"])}
