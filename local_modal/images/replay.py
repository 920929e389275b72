"""Replays the lines of one image, one instruction after the other, onto its draft."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_modal.images.context import Context
from local_modal.images.dockerfile import Line, assignments, expand
from local_modal.images.draft import SYSTEM_FOLDERS, Draft
from local_modal.images.environment import FILES, VENV, Description
from local_modal.images.errors import ImageError
from local_modal.images.files import copy, inside
from local_modal.images.process import CommandFailedError
from local_modal.images.run import RunLines

_PYTHON_IMAGE = re.compile(
    r"(?:docker\.io/(?:library/)?)?python:(?P<version>3\.\d+)(?P<micro>\.\d+)?(?:-slim)?(?:-(?!alpine)[a-z]+)?"
)
_UV_IMAGE = re.compile(r"--from=ghcr\.io/astral-sh/uv:.+")
_PYTHON_IMAGE_VARIABLES = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_PYTHON_IMAGE_WORKDIR = "/root"
_CLIENT_PATH_FILE = "zzz_local_modal_client.pth"
_NO_EFFECT_ON_FUNCTIONS = {"CMD", "LABEL", "EXPOSE", "MAINTAINER"}

InstallClient = Callable[[str, Path], Awaitable[Path]]
"""Makes the modal client's directory for a Python version, with an interpreter of that version."""


@dataclass(frozen=True)
class Replay:
    """Replays lines onto a draft.

    Args:
        draft: the image.
        run_lines: replays RUN lines.
        context: what COPY lines copy from.
        bases: images that FROM may name, by tag.
        build_args: values for ARG lines.
        install_client: brings the modal client.
    """

    draft: Draft
    run_lines: RunLines
    context: Context
    bases: Mapping[str, Description]
    build_args: Mapping[str, str]
    install_client: InstallClient

    async def replay(self, lines: Sequence[Line]) -> Description:
        """Replay all lines; returns the finished image's description.

        Raises:
            ImageError: the first line that can't be replayed, or whose command failed.
        """
        steps: dict[str, Callable[[Line], Awaitable[None]]] = {
            "FROM": self._from,
            "RUN": self.run_lines.replay,
            "COPY": self._copy,
            "ENV": self._env,
            "ARG": self._arg,
            "WORKDIR": self._workdir,
            "ENTRYPOINT": self._entrypoint,
            "USER": self._user,
        }
        for number, line in enumerate(lines):
            self._log(f"=> Step {number}: {line.text}")
            if line.name in _NO_EFFECT_ON_FUNCTIONS:
                self._log(f"{line.name} has no effect on functions")
                continue
            if line.name not in steps:
                hint = " Use COPY." if line.name == "ADD" else ""
                raise line.refuse(f"{line.name} is not supported by local Modal.{hint}")
            if not self.draft.owners and line.name not in {"FROM", "ARG"}:
                raise line.refuse("there is no FROM before it.")
            await steps[line.name](line)
        if not self.draft.owners:
            raise ImageError("The image has no FROM line.")
        return self.draft.describe(self.run_lines.client_version)

    def _log(self, text: str) -> None:
        self.run_lines.runner.log(text)

    async def _from(self, line: Line) -> None:
        if self.draft.owners:
            raise line.refuse("an image of several stages is not supported by local Modal.")
        if line.flags or len(line.args) != 1:
            raise line.refuse("only 'FROM image' is supported, without options or a stage name.")
        name = expand(line, line.args[0], self.draft.known)
        if base := self.bases.get(name):
            self.draft.start_from(base)
            return
        match = _PYTHON_IMAGE.fullmatch(name)
        if not match:
            raise line.refuse(
                "no container image can be pulled here; only the official glibc Python images have a counterpart on "
                "this machine: start from modal.Image.debian_slim(python_version=…)."
            )
        await self._make_environment(line, match["version"], match["version"] + (match["micro"] or ""))

    async def _make_environment(self, line: Line, version: str, asked: str) -> None:
        venv = self.draft.target / VENV
        create = [str(self.run_lines.uv), "venv", "--relocatable", "--no-project", "--python", version, str(venv)]
        try:
            await self.run_lines.runner.run(create, cwd=self.draft.target, quiet=True)
        except CommandFailedError as error:
            reason = next((text for text in error.output if "error:" in text), str(error))
            raise line.refuse(
                f"Python {version} isn't on this machine ({reason.strip()[:200]}); install it, "
                f"for example with: uv python install {version}"
            ) from None
        settings = dict(
            text.split(" = ", 1) for text in (venv / "pyvenv.cfg").read_text().splitlines() if " = " in text
        )
        self.draft.python_version = settings["version_info"]
        self._log(f"Python {self.draft.python_version} of this machine ({settings['home']}) stands for {asked}")
        self.draft.owners = {VENV: self.draft.image_id}
        self.draft.variables, self.draft.workdir = dict(_PYTHON_IMAGE_VARIABLES), _PYTHON_IMAGE_WORKDIR
        client = await self.install_client(self.draft.python_version, venv / "bin/python")
        (self.draft.site_packages(venv) / _CLIENT_PATH_FILE).write_text(f"{client}\n")

    async def _env(self, line: Line) -> None:
        self.draft.variables.update(assignments(line, self.draft.known))

    async def _arg(self, line: Line) -> None:
        for word in line.args:
            name, given, default = word.partition("=")
            if name in self.build_args:
                self.draft.arguments[name] = self.build_args[name]
            elif given:
                self.draft.arguments[name] = expand(line, default, self.draft.known)

    async def _workdir(self, line: Line) -> None:
        path = expand(line, " ".join(line.args), self.draft.known)
        self.draft.workdir = os.path.normpath(os.path.join("/", self.draft.workdir, path))

    async def _entrypoint(self, line: Line) -> None:
        if line.args:
            raise line.refuse("an entrypoint program doesn't run on this machine; only ENTRYPOINT [] is supported.")

    async def _user(self, line: Line) -> None:
        if line.args not in (("root",), ("0",)):
            raise line.refuse("containers have one user here; leave USER out.")

    async def _copy(self, line: Line) -> None:
        if any(_UV_IMAGE.fullmatch(flag) for flag in line.flags):
            self._log(f"uv of this machine stands for it ({self.run_lines.uv})")
            return
        mode = None
        for flag in line.flags:
            if match := re.fullmatch(r"--chmod=([0-7]{3,4})", flag):
                mode = int(match[1], 8)
            elif not re.fullmatch(r"--link(=true|=false)?|--chown=.+", flag):
                raise line.refuse(f"{flag} is not supported by local Modal.")
        *sources, destination = (expand(line, word, self.draft.known) for word in line.args or ("",))
        if line.heredoc or not sources:
            raise line.refuse("it needs sources and a destination.")
        found = [path for source in sources for path in self.context.find(line, source)]
        into_folder = destination.endswith("/") or len(found) > 1 or destination in {".", ".."}
        files = await self.draft.own(FILES)
        for source in found:
            target = inside(files, destination, self.draft.workdir)
            if source.is_file() and (into_folder or target.is_dir()):
                target = target / source.name
            self._check_destination(line, source, target.relative_to(files))
            await asyncio.to_thread(copy, source, target, mode)

    @staticmethod
    def _check_destination(line: Line, source: Path, target: Path) -> None:
        tops = [target.parts[0]] if target.parts else [entry.name for entry in source.iterdir()]
        if system := sorted(SYSTEM_FOLDERS & set(tops)):
            raise line.refuse(
                f"/{system[0]} is this machine's own system folder; copy to another place, such as /root or /data."
            )
