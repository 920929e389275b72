"""The settings of one stack: typed, checked before anything is touched, every error at once.

The program reads them from what Pulumi hands over; `python -m infra.settings STACK` checks a stack's file ahead of it,
where Pulumi itself would stop at the first value of a wrong type.
"""

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from infra.app_facts import ROOT, AppFacts, AppFactsError, app_facts
from infra.keys import IMAGE_SETTINGS, Key, app_keys, stack_keys
from infra.kinds import Kind, WrongValue
from infra.server_images.catalog import BASE, TORCH
from infra.stack_file import StackFile, StackFileError, read_stack_file

PROJECT = "inference-custom-blocks"
"""Name of the Pulumi project, the namespace of its keys."""
APP_PREFIX = "CUSTOM_BLOCKS_"
RESERVED = ("MODAL_", APP_PREFIX, "PULUMI_")
"""Beginnings of variables that an executor's environment may not set: they are Modal's and the app's."""
SERVER_OWN = frozenset(
    {
        "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS",
        "MODAL_ALLOW_ANONYMOUS_EXECUTION",
        "MODAL_DISABLE_API_PROXY",
        "MODAL_ENVIRONMENT",
        "MODAL_SERVER_URL",
        "MODAL_TOKEN_ID",
        "MODAL_TOKEN_SECRET",
        "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE",
        "WORKFLOWS_PLUGINS",
    }
)
"""Variables of the inference server that the stack sets itself."""


SERVER_IMAGES = {"none": (), "cpu": ("cpu",), "gpu": ("gpu",), "both": ("cpu", "gpu")}


class SettingsError(ValueError):
    """A stack's settings are wrong; the message has a line for each, with key, value and what is allowed."""

    def __init__(self, stack: str, problems: list[str]) -> None:
        count = "a setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        super().__init__(f"stack {stack}: {count} wrong, nothing was touched\n  " + "\n  ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """What a stack is to be."""

    stack: str
    facts: AppFacts = field(repr=False)
    app: Mapping[str, Any]
    """Settings of the app and of the server's side, by their name there; None leaves the choice to Modal."""
    environment: str
    restricted: bool
    service_user: bool
    service_user_days: int
    """0: its token never expires."""
    proxy_token: bool
    rotation: int
    anonymous: bool
    """Whether requests without a workspace run."""
    server_images: tuple[str, ...]
    """Those that are built: cpu, gpu."""
    server_registry: str
    """Where they are pushed; empty: nowhere."""
    server_arguments: Mapping[str, Mapping[str, str]]
    """By image: arguments of its Dockerfile that aren't its own defaults."""
    protect: bool
    executor_env: Mapping[str, str]
    server_env: Mapping[str, str]
    executor_secrets: Mapping[str, str] = field(repr=False)
    server_secrets: Mapping[str, str] = field(repr=False)

    @property
    def image_tag(self) -> str | None:
        """The published image to use, None to build one."""
        tag: str | None = self.app["image_tag"]
        return tag

    @property
    def image_variables(self) -> dict[str, str]:
        """CUSTOM_BLOCKS_* of what makes the image."""
        return self._variables(IMAGE_SETTINGS)

    @property
    def definition_variables(self) -> dict[str, str]:
        """CUSTOM_BLOCKS_* of what makes the deployed class, its image apart."""
        apart = {*IMAGE_SETTINGS, "image_tag"}
        own = self._variables(name for name in self.app if self._group(name) == "app" and name not in apart)
        return {**own, self.facts.allowed["anonymous"]["variable"]: "allow" if self.anonymous else "refuse"}

    @property
    def server_variables(self) -> dict[str, str]:
        """CUSTOM_BLOCKS_* that the server needs: its own, and those of the app that must hold for both."""
        needs = self.facts.server_needs
        return self._variables(name for name in self.app if name in needs or self._group(name) == "server")

    def _group(self, name: str) -> str:
        return str(self.facts.allowed[name]["group"])

    def _variables(self, names: Collection[str] | Iterator[str]) -> dict[str, str]:
        given = {name: self.app[name] for name in names if self.app[name] not in (None, ())}
        return {self.facts.allowed[name]["variable"]: _text(value) for name, value in sorted(given.items())}


def _text(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value)
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def read_settings(stack: str, values: Mapping[str, str], secret: Collection[str], facts: AppFacts) -> Settings:
    """The settings that these values make, with defaults for the keys that aren't among them.

    Args:
        stack: its name.
        values: texts by key, without the project's name.
        secret: keys that Pulumi keeps encrypted.
        facts: what the app says of itself.

    Raises:
        SettingsError: with every problem.
    """
    keys = stack_keys(facts)
    read, problems = _read(keys, values, secret)
    problems += [*_conflicts(read), *_server_conflicts(read, facts)]
    if problems:
        raise SettingsError(stack, sorted(problems))
    return Settings(
        stack=stack,
        facts=facts,
        app={setting: read[name] for name, setting in app_keys(facts).items()},
        environment=read["environment"] or stack,
        restricted=read["restricted"],
        service_user=read["serviceUser"],
        service_user_days=read["serviceUserDays"],
        proxy_token=read["proxyToken"],
        rotation=read["rotation"],
        anonymous=read["anonymous"] == "allow",
        server_images=SERVER_IMAGES[read["serverImages"]],
        server_registry=read["serverRegistry"],
        server_arguments=_server_arguments(read),
        protect=read["protect"],
        executor_env=read["executorEnv"],
        server_env=read["serverEnv"],
        executor_secrets=read["executorSecrets"],
        server_secrets=read["serverSecrets"],
    )


def _read(
    keys: Mapping[str, Key], values: Mapping[str, str], secret: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    problems = []
    for name in values.keys() - keys.keys():
        similar = get_close_matches(name, keys, 1)
        problems.append(f"{name}: is no setting" + (f"; did you mean {similar[0]}?" if similar else ""))
    read = {}
    for name, key in keys.items():
        # What a JSON document has no tuple for is a list in the facts.
        read[name] = tuple(key.default) if key.kind.type == "list" else key.default
        if name not in values:
            continue
        try:
            read[name] = key.kind.parse(values[name])
        except WrongValue as error:
            problems.append(f"{name}: {error}")
            continue
        if key.secret and read[name] and name not in secret:
            problems.append(f"{name}: stands in plain text; {_encrypt(name, sorted(read[name])[0])}")
    return read, problems


def _conflicts(read: Mapping[str, Any]) -> Iterator[str]:
    """What can't be together."""
    for name in ("executorEnv", "executorSecrets"):
        for variable in sorted(read[name]):
            if variable.startswith(RESERVED):
                own = ", ".join(f"{word}*" for word in RESERVED)
                yield f"{name}: {variable} is Modal's or the app's own: {own} are"
    for plain, hidden in (("executorEnv", "executorSecrets"), ("serverEnv", "serverSecrets")):
        for variable in sorted(read[plain].keys() & read[hidden].keys()):
            yield f"{plain}: {variable} is in {hidden} too"
    if read["imageTag"] and read["packages"]:
        yield "packages: must be [] beside imageTag: a published image has the packages that it was built with"
    if read["serverImages"] == "none" and read["serverRegistry"]:
        yield "serverRegistry: no image is built that could be pushed: set serverImages to cpu, gpu or both"


def _server_arguments(read: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    base = {BASE: read["serverBase"]} if read["serverBase"] else {}
    torch = {TORCH: ""} if read["serverTorch"] == "default" else {}
    return {"cpu": {**base, **torch}, "gpu": base}


def _server_conflicts(read: Mapping[str, Any], facts: AppFacts) -> Iterator[str]:
    """What the server's environment can't hold: what the stack sets, and settings that the server would refuse."""
    pinned = str(facts.versions["inference"])
    if read["serverImages"] != "none" and read["inferenceVersion"] != pinned:
        yield (
            f"inferenceVersion: {read['inferenceVersion']!r} is not that of the server images: they hold {pinned}, as "
            "requirements/requirements.server.txt pins it"
        )
    by_variable = {said["variable"]: said for said in facts.allowed.values()}
    own = SERVER_OWN | {facts.allowed[name]["variable"] for name in (*app_keys(facts).values(), *facts.server_needs)}
    for key in ("serverEnv", "serverSecrets"):
        for variable, text in sorted(read[key].items()):
            if variable in own:
                yield f"{key}: {variable} is set by the stack itself"
            elif variable.startswith(APP_PREFIX) and (variable not in by_variable or key == "serverSecrets"):
                yield f"{key}: {variable} is no setting of the server; docs/configuration.md lists them"
            elif variable.startswith(APP_PREFIX):
                try:
                    Kind.of(by_variable[variable]).parse(text)
                except WrongValue as error:
                    yield f"{key}: {variable}: {error}"


def plain_text_problems(file: StackFile, keys: Mapping[str, Key]) -> list[str]:
    """Values of secret keys that stand in plain text beside encrypted ones."""
    return [
        f"{name}: {variable} stands in plain text; {_encrypt(name, variable)}"
        for name, key in keys.items()
        if key.secret and name in file.encrypted
        for variable in file.plain.get(name, ())
    ]


def _encrypt(key: str, variable: str) -> str:
    return f"encrypt it: pulumi config set --secret --path '{key}.{variable}'"


def check_stack_file(path: Path, stack: str, facts: AppFacts) -> None:
    """Checks the file of a stack, without Pulumi and without decrypting anything.

    Raises:
        SettingsError: with every problem.
        StackFileError: it can't be read.
    """
    file = read_stack_file(path, PROJECT)
    known = {name: text for name, text in file.values.items() if name not in file.opaque}
    problems = plain_text_problems(file, stack_keys(facts))
    try:
        read_settings(stack, known, file.encrypted, facts)
    except SettingsError as error:
        problems += error.problems
    if problems:
        raise SettingsError(stack, sorted(problems))


def stack_path(stack: str) -> Path:
    """Where a stack's file is."""
    return ROOT / f"Pulumi.{stack}.yaml"


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when the stack's file is wrong, with every problem on stderr."""
    parser = argparse.ArgumentParser("python -m infra.settings", description="Check the settings of a stack.")
    parser.add_argument("stack")
    parser.add_argument("--file", type=Path, help="its file, where that isn't Pulumi.<stack>.yaml")
    options = parser.parse_args(arguments)
    try:
        check_stack_file(options.file or stack_path(options.stack), options.stack, app_facts())
    except (SettingsError, StackFileError, AppFactsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
