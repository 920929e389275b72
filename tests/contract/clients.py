"""`python -m tests.contract.clients [VERSION…]` runs the contract tests with other versions of modal's client.

The client and the tests are in an environment of the version's own, kept in the cache folder; the control plane is this
one's, and so is the client that runs in containers. `--quick` runs a few files, with the oldest unless one is named;
`--write` runs no test and writes docs/modal-versions.md: what each version lacks. A run fails where the page says
something else than was found.
"""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_modal.settings import CLIENT_VERSION, CLIENT_VERSIONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "modal-versions.md"
SURFACE = Path(__file__).with_name("client_surface.py")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inference-custom-blocks" / "clients"
TESTS = ("access", "calls", "cli", "deploy", "generators", "map", "containers", "scaling", "lifecycle")
"""Those of a client's own calls; the others are of containers, or of local Modal's program."""
QUICK = ("calls", "cli", "deploy", "generators")
PACKAGES = ("aiohttp", "cryptography", "hypothesis", "pytest", "pytest-asyncio", "pytest-timeout")
"""What the tests import beside the client: what is pinned here is what they get."""

Surface = Mapping[str, Mapping[str, Sequence[str]]]
"""`commands` and `attributes`: name → options or parameters."""


@dataclass(frozen=True)
class Client:
    """One version of the client, in an environment of its own."""

    version: str

    @property
    def python(self) -> Path:
        """Its interpreter; makes the environment at the first use."""
        folder = CACHE / f"{self.version}-{sys.implementation.cache_tag}"
        python = folder / "bin" / "python"
        if not (folder / ".complete").exists():
            uv = Path(sys.executable).with_name("uv")
            pins = subprocess.run([uv, "pip", "freeze"], capture_output=True, check=True, text=True, cwd=ROOT).stdout
            wanted = [line for line in pins.splitlines() if line.partition("==")[0] in PACKAGES]
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
            install: list[str | Path] = [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                python,
                f"modal=={self.version}",
                *wanted,
            ]
            subprocess.run(install, check=True, cwd=ROOT)
            (folder / ".complete").touch()
        return python

    def surface(self) -> Surface:
        """Its commands and its public interface."""
        done = subprocess.run([self.python, SURFACE], capture_output=True, check=True, text=True, cwd=ROOT)
        found: Surface = json.loads(done.stdout)
        return found

    def test(self, files: Sequence[str]) -> bool:
        """Whether the tests pass, but for those of what it lacks."""
        paths = [f"tests/contract/test_{name}.py" for name in files]
        command: list[str | Path] = [self.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths]
        environment = {**os.environ, "TEST_PLANE_PYTHON": sys.executable}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def names(surface: Surface) -> set[str]:
    """Everything in it, by name: a command, an attribute, and either with an option or a parameter."""
    kinds = surface.values()
    return {name for kind in kinds for name in kind} | {
        f"{name} {option}" if option.startswith("-") else f"{name}({option})"
        for kind in kinds
        for name, options in kind.items()
        for option in options
    }


def lacks(surfaces: Mapping[str, Surface]) -> dict[str, list[str]]:
    """What older clients lack of the newest → by which versions; of what is lacked whole, nothing below it."""
    newest = sorted(names(surfaces[CLIENT_VERSIONS[-1]]))
    has = {version: names(surface) for version, surface in surfaces.items()}
    found: dict[str, list[str]] = {}
    for name in newest:
        without = [version for version in surfaces if name not in has[version]]
        whole = name.partition("(")[0].partition(" -")[0]
        if without and (name == whole or found.get(whole) != without):
            found[name] = without
    return found


def held(lacked: Mapping[str, list[str]]) -> str:
    """A row for each file of tests: what they are about, and with which versions they run."""
    rows = []
    for name in TESTS:
        text = Path(__file__).with_name(f"test_{name}.py").read_text()
        needed = sorted(set(re.findall(r'needs_client\("([^"]+)"\)', text)))
        but = "; ".join(f"{', '.join(lacked[need])}: all but those of `{need}`" for need in needed if need in lacked)
        rows.append(f"| {ast.get_docstring(ast.parse(text))} | {f'{but}; else all' if but else 'all'} |")
    return "\n".join(rows)


def page(surfaces: Mapping[str, Surface]) -> str:
    """docs/modal-versions.md."""
    lacked = lacks(surfaces)
    rows = "\n".join(
        f"| `{name}` | " + " | ".join("-" if version in without else "✓" for version in surfaces) + " |"
        for name, without in lacked.items()
    )
    head = " | ".join(surfaces) + " |\n| --- |" + " --- |" * len(surfaces)
    return f"""# Versions of modal's client

<!-- Written by `make docs` out of the clients themselves and the tests. -->

Local Modal serves clients of modal {CLIENT_VERSIONS[0]} to {CLIENT_VERSIONS[-1]}; any other is told what to install.
Containers always run modal {CLIENT_VERSION}, whichever version called; an image that pins another is refused when it is
built. An inference server needs modal {CLIENT_VERSION}, since the gate before its network is made for that version.

## What passes

`make test-clients` runs these contract tests with each version as the client (`VERSIONS=1.6.2`: with that one).

| tests | pass with |
| --- | --- |
{held(lacked)}

## What a version lacks

Of the commands, options, Python names and parameters of {CLIENT_VERSIONS[-1]}, whether local Modal serves them or not.

| | {head}
{rows}
"""


def main() -> int:
    """The exit status is 1 where a test failed or the page isn't current."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.clients", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help=", ".join(CLIENT_VERSIONS) + "; none: all")
    parser.add_argument("--quick", action="store_true", help="a few files, with the oldest unless one is named")
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}, run no test")
    options = parser.parse_args()
    if unknown := set(options.versions) - set(CLIENT_VERSIONS):
        parser.error(f"not served: {', '.join(sorted(unknown))}")
    text = page({version: Client(version).surface() for version in CLIENT_VERSIONS})
    if options.write:
        PAGE.write_text(text)
        return 0
    verdicts: dict[str, str] = {}
    for version in options.versions or (CLIENT_VERSIONS[:1] if options.quick else CLIENT_VERSIONS):
        sys.stderr.write(f"\n=== modal {version}\n")
        verdicts[version] = "pass" if Client(version).test(QUICK if options.quick else TESTS) else "FAIL"
    if not PAGE.exists() or PAGE.read_text() != text:
        verdicts[str(PAGE.relative_to(ROOT))] = "FAIL: `make docs` writes it anew"
    sys.stdout.write("".join(["\n", *(f"{name:<24} {verdict}\n" for name, verdict in verdicts.items())]))
    return int(any(verdict != "pass" for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
