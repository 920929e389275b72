"""Writes what is generated from the settings: the config schema in Pulumi.yaml, and docs/configuration.md.

`python -m infra.reference` writes both; with `--check` it writes nothing, and fails where one isn't current.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from infra.app_facts import ROOT, AppFacts, app_facts
from infra.keys import Key, stack_keys

SCHEMA_MARK = "# From here on written by `make docs`, out of modal_app/settings.py and infra/keys.py: edit those.\n"
PULUMI_TYPES = {"integer": "integer", "boolean": "boolean", "list": "array", "map": "object"}
"""Pulumi's own types; it has none for numbers with a fraction, which it takes as strings."""

INTRODUCTION = """\
# Configuration

<!-- Written by `make docs` out of modal_app/settings.py and infra/keys.py: edit those. -->

A stack is a file, `Pulumi.<stack>.yaml`. Every key has a default, which [`Pulumi.yaml`](../Pulumi.yaml) repeats with \
its type. Set one in the file, or with

<!-- not run: changes the stack; the last line asks for a value -->
```sh
pulumi config set timeout 40 --stack staging
pulumi config set --path 'packages[0]' shapely==2.1.2 --stack staging
pulumi config set --secret --path executorSecrets.API_KEY --stack staging   # asks for the value
```

Wrong values are refused before anything is touched, all at once, each with what is allowed. \
`python -m infra.settings STACK` checks a file without deploying. How to deploy is in [deployment.md](deployment.md).
"""
SECRETS_TEXT = """\
## Secrets

`executorSecrets` and `serverSecrets` are maps whose values are encrypted, each on its own, by the stack's passphrase or
key (`pulumi config set --secret --path 'KEY.NAME'`). A value in plain text is refused.

`executorEnv` and `executorSecrets` become Modal Secrets that are attached to the executor, so **every block can read
both**: a secret there is one that blocks are meant to use. `serverEnv` and `serverSecrets` go to the inference server
alone. Nothing else of the deployer's or the server's environment reaches a block.
"""
SERVER_TEXT = """\
## Server

Further limits of the inference server, as variables of its environment. `serverEnv` sets them for a stack.
"""


def schema(keys: Mapping[str, Key]) -> str:
    """The `config:` section of Pulumi.yaml."""
    lines = ["config:"]
    for name, key in keys.items():
        lines += [f"  {name}:", *(f"    {field}: {_yaml(value)}" for field, value in _declaration(key))]
    return "\n".join(lines) + "\n"


def _declaration(key: Key) -> Iterable[tuple[str, Any]]:
    # A typed key that is secret may have no default: Pulumi refuses one that isn't encrypted.
    if key.secret:
        yield "secret", True
    else:
        yield "type", PULUMI_TYPES.get(key.kind.type, "string")
    if key.kind.type == "list":
        yield "items", {"type": "string"}
    yield "description", f"{key.description} Allowed: {key.kind.rule}."
    yield "default", key.shown_default


def _yaml(value: Any) -> str:
    """A value as YAML on one line; JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


def configuration(facts: AppFacts, keys: Mapping[str, Key]) -> str:
    """The page on configuration."""
    app = [key for key in keys.values() if key.setting and facts.allowed[key.setting]["group"] == "app"]
    stack = [key for key in keys.values() if key not in app]
    server = {
        name: said
        for name, said in facts.allowed.items()
        if said["group"] == "server" and name not in {key.setting for key in keys.values()}
    }
    parts = [
        INTRODUCTION,
        "## App\n\nWhat the deployed class is and what its image holds. The variable is what the key is called where "
        "the app is deployed without Pulumi.\n",
        _table(
            ("key", "default", "allowed", "what it is", "variable"),
            [(*_cells(key), f"`{facts.allowed[key.setting]['variable']}`") for key in app],
        ),
        "## Stack\n\nWho reaches it, what servers are given, and what is kept.\n",
        _table(("key", "default", "allowed", "what it is"), [_cells(key) for key in stack]),
        SECRETS_TEXT,
        SERVER_TEXT,
        _table(
            ("variable", "default", "allowed", "what it is"),
            [
                (f"`{said['variable']}`", f"`{facts.defaults[name]}`", said["allowed"], said["description"])
                for name, said in server.items()
            ],
        ),
    ]
    return "\n".join(parts)


def _cells(key: Key) -> tuple[str, str, str, str]:
    default = key.shown_default
    shown = json.dumps(default) if default != "" else "''"
    return f"`{key.name}`", f"`{shown}`", key.kind.rule, key.description


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def files(root: Path = ROOT) -> dict[Path, str]:
    """What each generated file should hold."""
    facts = app_facts()
    keys = stack_keys(facts)
    project = root / "Pulumi.yaml"
    head, mark, _ = project.read_text("utf-8").partition(SCHEMA_MARK)
    if not mark:
        raise ValueError(f"{project.name} lacks the line that its generated part begins with: {SCHEMA_MARK.strip()}")
    return {project: head + mark + schema(keys), root / "docs" / "configuration.md": configuration(facts, keys)}


def main(arguments: list[str] | None = None, render: Callable[[], dict[Path, str]] = files) -> int:
    """Writes the files, or says which of them aren't current."""
    parser = argparse.ArgumentParser("python -m infra.reference", description="Write what is generated from settings.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file isn't current")
    check = parser.parse_args(arguments).check
    stale = {path: text for path, text in render().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        if check:
            sys.stderr.write(f"{path.name} isn't current: make docs writes it\n")
        else:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"written: {path.name}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
