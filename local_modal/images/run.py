"""RUN lines: the commands that are replayed, each by a program of this machine with explicit arguments."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_modal.images import packages
from local_modal.images.apt import Apt, requested
from local_modal.images.dockerfile import Command, Line, commands
from local_modal.images.draft import Draft
from local_modal.images.environment import PACKAGES, VENV
from local_modal.images.errors import ImageError
from local_modal.images.packages import ReplayRefusedError
from local_modal.images.process import CommandFailedError, Runner, image_variables

_CLIENT_DISTRIBUTION = re.compile(r"modal-(.+)\.dist-info")

_BUILD_TOOLS = "apt-get install -y gcc gfortran build-essential"
_NO_QUESTIONS = "echo 'debconf debconf/frontend select Noninteractive' | debconf-set-selections"
"""Lines that every debian_slim has (modal's `_image.py`); what they are for doesn't arise here."""

_APT_HOUSEKEEPING = {"update": "package lists are read when a package is missing", "clean": "no package file is kept"}
_APT_LISTS = "/var/lib/apt/lists/*"


@dataclass(frozen=True)
class RunLines:
    """Replays RUN lines onto a draft.

    Args:
        draft: the image.
        uv: the uv program.
        runner: runs commands.
        apt: brings system packages.
        client_version: the modal client of this control plane.
    """

    draft: Draft
    uv: Path
    runner: Runner
    apt: Apt
    client_version: str

    async def replay(self, line: Line) -> None:
        """Replay one line.

        Raises:
            ImageError: it can't be replayed, or its command failed.
        """
        for flag in line.flags:
            if not flag.startswith("--mount=type=cache"):
                raise line.refuse(f"{flag} is not supported by local Modal.")
        text = " ".join(line.args)
        if text == _NO_QUESTIONS:
            self.runner.log("No package script runs here, so none asks anything")
            return
        if text == _BUILD_TOOLS:
            self._report_build_tools()
            return
        known = {**self.draft.known, **self.runner.secrets}
        for command in commands(line, known, frozenset(self.runner.secrets)):
            if command.variables != image_variables(command.variables):
                raise line.refuse("variables that would redirect the build can't be set for a command.")
            try:
                await self._command(line, command)
            except ReplayRefusedError as refused:
                raise line.refuse(str(refused)) from None

    async def _command(self, line: Line, command: Command) -> None:
        name, *args = command.argv
        if call := packages.recognise(command.argv):
            await self._install(line, call, command)
        elif name in {"apt-get", "apt"}:
            await self._apt(line, args)
        elif name == "mkdir" and args:
            for path in (word for word in args if word != "-p"):
                (await self.draft.place(path)).mkdir(parents=True, exist_ok=True)
        elif name == "rm" and args:
            await self._remove(args)
        else:
            raise ReplayRefusedError(
                f"{name!r} would run a program of this machine outside a sandbox; only pip, uv pip, apt-get install, "
                "mkdir and rm are replayed. Prepare such files beforehand and add them with add_local_dir(copy=True), "
                "or do it in @modal.enter()."
            )

    async def _install(self, line: Line, call: packages.Call, command: Command) -> None:
        subcommand, verb, *args = packages.translate(call, self.draft.locate)
        venv = await self.draft.own(VENV)
        options = ["--compile-bytecode"] if verb == "install" else []
        extra = {**image_variables({**self.draft.variables, **self.runner.secrets}), **command.variables}
        argv = [str(self.uv), subcommand, verb, "--python", str(venv / "bin/python"), *options, *args]
        try:
            await self.runner.run(argv, cwd=self.draft.target, extra=extra)
        except CommandFailedError as error:
            raise ImageError(f"Image line {line.text!r} failed: {error.reason}") from None
        for entry in self.draft.site_packages(venv).iterdir():
            match = _CLIENT_DISTRIBUTION.fullmatch(entry.name)
            if match and match[1] != self.client_version:
                raise ReplayRefusedError(
                    f"it brings modal {match[1]}, and this control plane speaks for modal {self.client_version}: "
                    f"pin modal=={self.client_version}, or leave modal out, since containers get it anyway."
                )

    async def _apt(self, line: Line, args: Sequence[str]) -> None:
        words = [word for word in args if not word.startswith("-")]
        verb = words[0] if words else ""
        if verb in _APT_HOUSEKEEPING:
            self.runner.log(f"Nothing to do: {_APT_HOUSEKEEPING[verb]}")
            return
        if verb != "install":
            raise ReplayRefusedError(f"of apt-get only update, install and clean are replayed, not {verb!r}.")
        rest = list(args)
        rest.remove(verb)
        has_tree = PACKAGES in self.draft.owners
        tree = await self.draft.own(PACKAGES) if has_tree else self.draft.target / PACKAGES
        try:
            if await self.apt.install(requested(rest), tree):
                self.draft.owners[PACKAGES] = self.draft.image_id
        except ImageError as error:
            raise line.refuse(str(error)) from None

    async def _remove(self, args: Sequence[str]) -> None:
        force = any(word in {"-f", "-rf", "-fr"} for word in args)
        for path in (word for word in args if word not in {"-r", "-f", "-rf", "-fr"}):
            if path == _APT_LISTS:
                self.runner.log("Nothing to do: no package list is kept in the image")
                continue
            found = await self.draft.place(path)
            if not found.exists() and not force:
                raise ReplayRefusedError(f"{path} is none of the files copied into the image.")
            if found.is_dir():
                shutil.rmtree(found)
            else:
                found.unlink(missing_ok=True)

    def _report_build_tools(self) -> None:
        lacking = [tool for tool in ("gcc", "g++", "gfortran", "make") if not shutil.which(tool)]
        if lacking:
            self.runner.log(
                f"Not on this machine: {', '.join(lacking)}; a package that has no wheel can't be built "
                f"(sudo {_BUILD_TOOLS})"
            )
        else:
            self.runner.log("On this machine already: gcc, gfortran, build-essential")
