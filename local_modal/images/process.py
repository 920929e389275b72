"""Runs one build command: explicit arguments, a scrubbed environment, output line by line to the build's log."""

import asyncio
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Log = Callable[[str], None]

_CHUNK = 1 << 16
_LONGEST_LINE = 4000
_KEPT_LINES = 10_000
_SHORTEST_SECRET = 4
_ALLOWED = re.compile(
    r"PATH|HOME|USER|LANG|LC_.*|TMPDIR|NETRC|XDG_(CONFIG|CACHE|DATA)_HOME|XDG_CONFIG_DIRS"
    r"|UV_.*|PIP_.*|SSL_CERT_(FILE|DIR)|SSL_CLIENT_CERT|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|GIT_SSL_CAINFO"
    r"|(?i:(https?|all|no|ftp)_proxy)"
)
_STEERS_AWAY = re.compile(
    r"UV_(PYTHON|SYSTEM_PYTHON|BREAK_SYSTEM_PACKAGES|PROJECT.*|PUBLISH_.*|WORKING_DIR.*|NO_CACHE|LIBC|INSTALL.*)"
)
_FROM_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
}
_ALWAYS = {"NO_COLOR": "1", "UV_NO_PROGRESS": "1", "LC_ALL": "C.UTF-8"}
_DEFAULTS = {"UV_LINK_MODE": "hardlink", "UV_PYTHON_DOWNLOADS": "never"}
_UNREACHABLE = re.compile(r"error sending request for url \((?P<url>[^)]+)\)|Failed to fetch: `?(?P<other>[^\s`]+)")
_CONNECTION = re.compile(r"Request failed after|error sending request|dns error|timed out|[Cc]onnection refused")
_UV_REASON = re.compile("\\s*(error:|\N{MULTIPLICATION SIGN})")
_LONGEST_REASON = 700
_NOT_THE_IMAGES = re.compile(r"PATH|HOME|LD_.*|PYTHON.*|MODAL_.*")


class CommandFailedError(Exception):
    """A command that exited with another status than 0, or was stopped at its time limit."""

    def __init__(self, reason: str, output: list[str]) -> None:
        super().__init__(reason)
        self.output = output

    @property
    def reason(self) -> str:
        """What uv gave as its reason, on one line; for an address that doesn't answer, what to check."""
        text = "\n".join(self.output)
        if _CONNECTION.search(text) and (match := _UNREACHABLE.search(text)):
            return (
                f"{match['url'] or match['other']} could not be reached; check the network, the proxy variables and "
                "the address of the package index (UV_DEFAULT_INDEX), then deploy again."
            )
        start = next((at for at, line in enumerate(self.output) if _UV_REASON.match(line)), -5)
        said = " ".join(" ".join(self.output[start:]).split())[:_LONGEST_REASON]
        return f"{said} ({self})"


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """What build commands may know of the user's environment.

    Paths, locale, proxies, certificate authorities, and the configuration of uv; pip's variables for indexes and
    authorities are handed on under uv's names. Nothing of Modal's, so no token. Python is never downloaded unless
    the user's UV_PYTHON_DOWNLOADS says so.
    """
    kept = {name: value for name, value in environ.items() if _ALLOWED.fullmatch(name)}
    kept = {name: value for name, value in kept.items() if not _STEERS_AWAY.fullmatch(name)}
    for name, uv_name in _FROM_PIP.items():
        if name in kept:
            kept.setdefault(uv_name, kept[name])
    return {**_DEFAULTS, **kept, **_ALWAYS}


def image_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of an image's variables that its build commands see: all but the ones that would redirect this machine."""
    return {name: value for name, value in variables.items() if not _NOT_THE_IMAGES.fullmatch(name)}


@dataclass(frozen=True)
class Runner:
    """Runs commands for one build.

    Args:
        environ: their environment (see `scrubbed`).
        log: takes each line that they print, with the values of `secrets` blanked.
        held: file descriptors that commands inherit: a lock on the build lasts as long as any of them lives.
        limit_seconds: how long one command may take.
    """

    environ: Mapping[str, str]
    log: Log
    secrets: Mapping[str, str]
    held: tuple[int, ...]
    limit_seconds: float

    async def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path,
        extra: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> list[str]:
        """Run it to its end and return what it printed (the last lines, where there are very many).

        Raises:
            CommandFailedError: it failed, or took too long; it and its children are killed.
        """
        process = await asyncio.create_subprocess_exec(
            *(str(word) for word in argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**self.environ, **(extra or {})},
            cwd=cwd,
            start_new_session=True,
            umask=0o022,
            pass_fds=self.held,
        )
        output: deque[str] = deque(maxlen=_KEPT_LINES)
        try:
            async with asyncio.timeout(self.limit_seconds):
                await self._follow(process, output, quiet=quiet)
                status = await process.wait()
        except TimeoutError:
            raise CommandFailedError(f"took longer than {self.limit_seconds:g} s", list(output)) from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await asyncio.shield(process.wait())
        if status != 0:
            raise CommandFailedError(f"exit status {status}", list(output))
        return list(output)

    async def _follow(self, process: asyncio.subprocess.Process, output: deque[str], *, quiet: bool) -> None:
        stream = process.stdout
        if stream is None:
            return
        rest = b""
        while chunk := await stream.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-_CHUNK:]
            for line in lines:
                self._take(line, output, quiet=quiet)
        if rest:
            self._take(rest, output, quiet=quiet)

    def _take(self, raw: bytes, output: deque[str], *, quiet: bool) -> None:
        text = raw.decode(errors="replace").rstrip()
        for value in self.secrets.values():
            for piece in value.splitlines():
                if len(piece) >= _SHORTEST_SECRET:
                    text = text.replace(piece, "***")
        text = text[:_LONGEST_LINE]
        output.append(text)
        if not quiet:
            self.log(text)
