"""Turns a pip or uv command of a RUN line into the arguments of `uv pip` for an image's environment.

Only the options in the tables below are replayed, so that a line can't install anywhere but into its image.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Locate = Callable[[str], Path]
"""Finds a container's path among the image's copied files; raises `ReplayRefusedError` where it isn't there."""

_FLAGS = {
    "-U", "--upgrade", "--no-deps", "--pre", "--require-hashes", "--no-verify-hashes", "--no-build", "--no-index",
    "--reinstall", "--force-reinstall", "--no-build-isolation", "--exact", "--strict", "--no-sources",
    "--all-extras", "--native-tls", "--system-certs", "--refresh",
}  # fmt: skip
_VALUES = {
    "-i", "--index-url", "--index", "--default-index", "--extra-index-url", "--index-strategy", "--keyring-provider",
    "--prerelease", "--resolution", "--fork-strategy", "--torch-backend", "--exclude-newer", "--link-mode",
    "-P", "--upgrade-package", "--reinstall-package", "--no-binary", "--only-binary", "--no-build-isolation-package",
    "-C", "--config-setting", "--config-settings", "--extra", "--group", "--allow-insecure-host", "--trusted-host",
}  # fmt: skip
_FILES = {
    "-r", "--requirement", "--requirements", "-c", "--constraint", "--constraints", "--override", "--overrides",
    "-b", "--build-constraint", "--build-constraints", "-f", "--find-links",
}  # fmt: skip
_DROPPED_FLAGS = {
    "--compile-bytecode", "--compile", "--system", "--break-system-packages", "--no-cache", "--no-cache-dir", "-n",
    "-q", "--quiet", "-v", "--verbose", "--no-input", "--disable-pip-version-check", "--no-warn-script-location",
    "-y", "--yes", "--no-progress",
}  # fmt: skip
_DROPPED_VALUES = {"--root-user-action", "--progress-bar", "--retries", "--timeout", "--color"}
_PYTHON = {"-p", "--python"}
_EDITABLE = {"-e", "--editable"}
_MOVED = {"--requirement": "--requirements", "--constraint": "--constraints", "--force-reinstall": "--reinstall"}
_EXTRA_INDEX = {"--extra-index-url", "--index"}

PYTHON_NAME = re.compile(r"(?:/usr/(?:local/)?bin/)?python(?:3(?:\.\d+)?)?")
_PIP_NAME = re.compile(r"(?:/usr/(?:local/)?bin/)?pip3?(?:\.\d+)?")
_UV_NAME = re.compile(r"(?:/\.uv/|/bin/|/usr/(?:local/)?bin/)?uv")
_LOCAL_ARCHIVE = re.compile(r"[^@:]*\.(?:whl|tar\.gz|zip|tgz)")
_FILE_URL = re.compile(r"(?i)(?:^|[\s@+])file:")


class ReplayRefusedError(Exception):
    """Why a command can't be replayed; the caller adds the line."""


@dataclass(frozen=True)
class Call:
    """A package command: `by` is the tool that was called ("pip" or "uv"), `args` what follows."""

    by: str
    args: tuple[str, ...]


def recognise(argv: tuple[str, ...]) -> Call | None:
    """The package command in `pip …`, `python -m pip …`, `uv …` or `python -m uv …`; None where it is none."""
    name, *rest = argv
    if PYTHON_NAME.fullmatch(name) and rest[:1] == ["-m"] and rest[1:2] in (["pip"], ["uv"]):
        return Call(rest[1], tuple(rest[2:]))
    if _PIP_NAME.fullmatch(name):
        return Call("pip", tuple(rest))
    return Call("uv", tuple(rest)) if _UV_NAME.fullmatch(name) else None


def translate(call: Call, locate: Locate) -> list[str]:
    """Arguments for `uv`, from `pip` on, less the target: `["pip", "install", …]`.

    pip lines with a second index get pip's own rule, the best version of all indexes.

    Raises:
        ReplayRefusedError: an unknown subcommand or option, an editable or missing path.
    """
    args = list(call.args)
    if call.by == "uv":
        if args[:1] != ["pip"]:
            raise ReplayRefusedError(f"of uv only 'uv pip' is replayed, not 'uv {' '.join(args[:1])}'.")
        args = args[1:]
    verb, *rest = args or [""]
    if verb not in {"install", "uninstall"}:
        raise ReplayRefusedError(f"of pip only install and uninstall are replayed, not {verb!r}.")
    translated = list(_translated(iter(rest), locate))
    if verb == "install" and call.by == "pip" and _EXTRA_INDEX & set(translated):
        translated = ["--index-strategy", "unsafe-best-match", *translated]
    return ["pip", verb, *translated]


def _translated(words: Iterator[str], locate: Locate) -> Iterator[str]:
    for word in words:
        option, has_value, attached = word.partition("=") if word.startswith("--") else (word, "", "")
        if not word.startswith("-"):
            yield _requirement(word, locate)
            continue
        takes_value = option in _VALUES | _FILES | _DROPPED_VALUES | _PYTHON | _EDITABLE
        value = attached if has_value else next(words, None) if takes_value else None
        if takes_value and value is None:
            raise ReplayRefusedError(f"{option} is given without its value.")
        yield from _option(option, value, locate)


def _option(option: str, value: str | None, locate: Locate) -> list[str]:
    if option in _EDITABLE:
        raise ReplayRefusedError(f"an editable install ({option}) would point outside the image; install it without.")
    if option in _PYTHON:
        if value is None or not PYTHON_NAME.fullmatch(value):
            raise ReplayRefusedError(f"{option} {value} isn't the image's own Python.")
        return []
    if option in _DROPPED_VALUES or (option in _DROPPED_FLAGS and value is None):
        return []
    if option in _FLAGS and value is None:
        return [_MOVED.get(option, option)]
    if option in _FILES and value is not None:
        return [_MOVED.get(option, option), value if "://" in value else str(locate(value))]
    if option in _VALUES and value is not None:
        return [option, value]
    raise ReplayRefusedError(f"its option {option} isn't among those that are replayed.")


def _requirement(word: str, locate: Locate) -> str:
    if _FILE_URL.search(word):
        raise ReplayRefusedError(f"{word!r} reads a file of this machine; add it to the image and give its path there.")
    if word.startswith(("/", ".")) or _LOCAL_ARCHIVE.fullmatch(word):
        return str(locate(word))
    return word
