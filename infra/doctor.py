"""What a stack needs on this machine, what of it is there, and what to do about the rest: `python -m infra.doctor`.

Nothing is installed, deployed or changed.
"""

import argparse
import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from modal._utils.proxy_support import get_proxy_url

from infra.app_facts import AppFactsError, app_facts
from infra.converge.backend import FileBackend
from infra.converge.environment import ROOT, backend_folder, stack_environment
from infra.converge.errors import ConvergeError
from infra.credentials import LOCAL_STACK
from infra.server_images.engine import builder, engine
from infra.server_images.errors import ImageError
from infra.settings import PROJECT, SettingsError, check_stack_file, stack_path
from infra.stack_file import StackFileError, read_stack_file
from infra.toolchain.cli import cache
from infra.toolchain.version import VERSION

SECONDS = 30.0
"""For a command that is asked."""
CONNECT_SECONDS = 5.0
MODAL = "https://api.modal.com"
"""Where Modal's client goes by itself (modal/config.py)."""
MISSING = "MISSING"
"""How local Modal's status begins what it says of an isolation layer that isn't there."""


@dataclass(frozen=True)
class Finding:
    """One line: `good` is None where it is neither good nor bad."""

    name: str
    good: bool | None
    detail: str

    def __str__(self) -> str:
        mark = {True: "✓", False: "✗", None: "·"}[self.good]
        return f"{self.name:<18} {mark}  {self.detail}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 when something is missing."""
    parser = argparse.ArgumentParser("python -m infra.doctor", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stack", default=os.environ.get("STACK") or LOCAL_STACK, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    good = True
    for finding in examine(options.stack, os.environ):
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
        good = good and finding.good is not False
    return 0 if good else 1


def examine(stack: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The findings, each as soon as it is known."""
    yield versions()
    yield pulumi_cli(environ)
    yield settings(stack)
    if wants_images(stack_path(stack)):
        yield image_builder()
    runs = True
    if stack == LOCAL_STACK:
        for finding in local_modal():
            runs = runs and (finding.name != "local Modal" or finding.good is True)
            yield finding
    try:
        variables = stack_environment(stack, environ)
    except ConvergeError as error:
        yield Finding("credentials", False, str(error))
        return
    except OSError as error:
        yield Finding("state", False, f"{error.filename}: {error.strerror}")
        return
    yield state(stack, variables)
    if runs:
        yield account(variables)


def versions() -> Finding:
    """Of what .venv holds, against what is pinned."""
    try:
        pinned = app_facts().versions
    except AppFactsError as error:
        return Finding("versions", False, f"{error}; run `make setup`")
    wanted = {"modal": str(pinned["modal"]), "pulumi": VERSION}
    found = {name: _version(name) for name in wanted}
    detail = ", ".join(f"{name} {version}" for name, version in found.items())
    python = ".".join(map(str, sys.version_info[:3]))
    if found != wanted:
        return Finding("versions", False, f"{detail}, not {wanted}: run `make setup`")
    return Finding("versions", True, f"Python {python}, {detail}, inference {pinned['inference']}")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def pulumi_cli(environ: Mapping[str, str]) -> Finding:
    """The CLI that would be used, without getting one."""
    name = "pulumi"
    gotten = cache(environ) / f"pulumi-{VERSION}" / "pulumi"
    if path := shutil.which("pulumi", path=environ.get("PATH")):
        said = _ask([path, "version"], environ)
        if said.returncode:
            return Finding(name, False, f"{path} on PATH does not run: {_line(said.stderr)}")
        version = said.stdout.strip().removeprefix("v")
        if _numbers(version) < _numbers(VERSION):
            return Finding(name, False, f"{path} is {version}, older than the SDK's {VERSION}: update it")
        return Finding(name, True, f"{version}, {path} (on PATH)")
    if gotten.exists():
        return Finding(name, True, f"{VERSION}, {gotten}")
    way = "the official release is tried" + (", then a build from Go modules" if shutil.which("go") else "")
    return Finding(name, None, f"not here yet: the first deployment gets {VERSION} ({way})")


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.partition("-")[0].split(".") if part.isdigit()]


def settings(stack: str) -> Finding:
    """The stack's file."""
    name = "settings"
    path = stack_path(stack)
    if not path.exists():
        return Finding(name, False, f"there is no {path.name}: copy another stack's (docs/deployment.md)")
    try:
        check_stack_file(path, stack, app_facts())
    except (SettingsError, StackFileError, AppFactsError) as error:
        return Finding(name, False, str(error))
    return Finding(name, True, path.name)


def wants_images(path: Path) -> bool:
    """Whether a stack's file asks for server images."""
    try:
        return read_stack_file(path, PROJECT).values.get("serverImages", "none") != "none"
    except StackFileError:
        return False  # which the settings' finding says


def image_builder() -> Finding:
    """The Docker engine, and what builds on it."""
    name = "Docker engine"
    try:
        with engine() as client:
            version = client.version()["Version"]
        command = " ".join(builder().command)
    except ImageError as error:
        return Finding(name, False, str(error))
    return Finding(name, True, f"{version}, builds by `{command}`")


def local_modal() -> Iterator[Finding]:
    """Whether local Modal runs, and in which isolation."""
    said = _ask([sys.executable, "-m", "local_modal", "status", "--json"], os.environ)
    try:
        status = json.loads(said.stdout)
        running, layers, (host, port) = bool(status["running"]), dict(status["isolation"]), status["listens"]
    except (ValueError, KeyError, TypeError):
        yield Finding("local Modal", False, f"its status can't be read: {_line(said.stderr)}")
        return
    if running:
        yield Finding("local Modal", True, f"{status['url']}, pid {status['pid']}")
    else:
        yield _to_be_started(host, port)
    lacking = [f"{layer}: {text}" for layer, text in layers.items() if str(text).startswith(MISSING)]
    detail = "; ".join(lacking) or f"{len(layers)} layers active, containers run as {layers.get('containers run as')}"
    yield Finding("isolation", not lacking, detail)


def _to_be_started(host: str, port: int) -> Finding:
    """Local Modal that doesn't run, with what would be in its way."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        other = "stop what listens there, or choose another: LOCAL_MODAL_PORT=9272 make deploy"
        return Finding("local Modal", False, f"{host}:{port} can't be used ({_first(error)}): {other}")
    return Finding("local Modal", None, f"not started: `make deploy` does, on {host}:{port}")


def _first(error: OSError) -> str:
    """Its text; that of `create_server` goes on in brackets."""
    return (error.strerror or str(error)).partition(" (")[0]


def state(stack: str, variables: Mapping[str, str]) -> Finding:
    """Where the stack's state is, and how it was left."""
    name = "state"
    folder = backend_folder(variables)
    if folder is None:
        return Finding(name, None, variables.get("PULUMI_BACKEND_URL") or "the backend that `pulumi login` chose")
    backend = FileBackend(folder, PROJECT, stack)
    try:
        locks, latest = backend.locks(), backend.latest()
    except ConvergeError as error:
        return Finding(name, False, str(error))
    if locks:
        return Finding(name, None, f"{folder}, held by {locks[0]}, {locks[0].holder.value}")
    if latest is None:
        return Finding(name, None, f"{folder}, nothing deployed yet")
    if latest.get("pending_operations"):
        return Finding(name, None, f"{folder}, interrupted: the next `make deploy` converges")
    return Finding(name, True, f"{folder}, {len(latest.get('resources', []))} resources")


def account(variables: Mapping[str, str]) -> Finding:
    """Whether Modal takes the credentials."""
    name, where = "credentials", variables.get("MODAL_SERVER_URL") or MODAL
    server, proxy = urlsplit(where), None
    try:  # the client itself would try for long
        host, port = server.hostname or "", server.port or (80 if server.scheme == "http" else 443)
        if proxy := _proxy(server, variables):
            host, port = proxy.hostname or "", proxy.port or 80
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        through = f" through the proxy {host}:{port}, which the machine's variables name" if proxy else ""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return Finding(name, False, f"{where} can't be reached{through}: {reason}")
    said = _ask([sys.executable, "-m", "modal", "environment", "list", "--json"], variables)
    if said.returncode == 0:
        names = ", ".join(sorted(row["name"] for row in json.loads(said.stdout)))
        return Finding(name, True, f"{where} takes them; its environments: {names}")
    reason = _line(said.stderr) or f"exit status {said.returncode}"
    return Finding(name, False, f"{where} refuses them: {reason}")


def _proxy(server: SplitResult, variables: Mapping[str, str]) -> SplitResult | None:
    """What is on the client's way there."""
    if variables.get("MODAL_DISABLE_API_PROXY"):
        return None
    proxy = get_proxy_url(server.hostname, use_ssl=server.scheme == "https")
    return urlsplit(proxy) if proxy else None


def _ask(command: list[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - this interpreter or the Pulumi CLI
            command, cwd=ROOT, env=dict(environ), capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _line(text: str) -> str:
    words = [line.strip("│ ╭╮╰╯─") for line in text.splitlines()]
    return " ".join(word for word in words if word and word != "Error")


if __name__ == "__main__":
    sys.exit(main())
