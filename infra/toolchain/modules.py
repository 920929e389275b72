"""Builds the Pulumi CLI from its Go modules, and lays this project's language host for Python beside it.

The released CLI brings a language host of its own, which isn't among the modules that can be had. Ours lies beside the
CLI built here and nowhere else: a released CLI never runs it.
"""

import os
import re
import selectors
import shutil
import subprocess
import time
from pathlib import Path

from infra.toolchain.version import MODULE, ToolchainError, say

COMMAND = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK = "github.com/pulumi/pulumi/sdk/v3"
EXECUTOR = "pulumi-language-python-exec"
LAUNCHER = Path(__file__).parent / "pulumi-language-python"
EXECUTABLE = 0o755
PROGRESS_SECONDS = 10.0
FLAGS = ("-mod=readonly", "-buildvcs=false")


class GoModules:
    """The source that needs Go and what go.mod and go.sum name."""

    name = "build from Go modules"

    def get(self, folder: Path, version: str) -> None:
        """Fills `folder`: minutes the first time on a machine, seconds from Go's cache."""
        go = shutil.which("go")
        if not go:
            raise ToolchainError("go is not on PATH")
        begin = time.monotonic()
        say(f"building the Pulumi CLI {version} from its Go modules, once on this machine (minutes)")
        packages = _run([go, "list", *FLAGS, "-deps", COMMAND], _Progress(begin, 0), keep=True)
        linker = f"-s -w -X {SDK}/go/common/version.Version=v{version}"
        build = [go, "build", "-v", *FLAGS, "-trimpath", "-ldflags", linker, "-o", str(folder / "pulumi"), COMMAND]
        _run(build, _Progress(begin, len(packages)))
        source = _run([go, "list", *FLAGS, "-m", "-f", "{{.Dir}}", SDK], _Progress(begin, 0), keep=True)
        executor = Path(source[-1], "python", "cmd", EXECUTOR)
        if not executor.is_file():
            raise ToolchainError(f"{SDK} has no {EXECUTOR}")
        for path in (executor, LAUNCHER):
            shutil.copyfile(path, folder / path.name)
            (folder / path.name).chmod(EXECUTABLE)
        say(f"built in {time.monotonic() - begin:.0f} s")


def needed_go() -> str:
    """The oldest version of Go that builds it (1.25.11, say)."""
    found = re.search(r"^go (\S+)$", (MODULE / "go.mod").read_text("utf-8"), re.MULTILINE)
    return found[1] if found else ""


class _Progress:
    """Says now and then how far a command is, by the lines that it writes to stderr."""

    def __init__(self, begin: float, packages: int) -> None:
        self.begin, self.packages = begin, packages
        self.compiled = self.downloaded = 0
        self.due = time.monotonic() + PROGRESS_SECONDS
        self.last = ""

    def line(self, line: str) -> None:
        if line.startswith("go: downloading "):
            self.downloaded += 1
        elif " " not in line:
            self.compiled += 1
        else:
            self.last = line

    def tick(self) -> None:
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + PROGRESS_SECONDS
        what = f"compiled {self.compiled} of {self.packages} packages" if self.packages else "resolving"
        say(f"{what}, downloaded {self.downloaded} modules, {time.monotonic() - self.begin:.0f} s")


def _run(command: list[str], progress: _Progress, *, keep: bool = False) -> list[str]:
    """The command's lines on stdout if they are to be kept; ToolchainError has what it said last."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""}
    process = subprocess.Popen(  # noqa: S603 - the go command, on this project's module
        command,
        cwd=MODULE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if keep else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    texts = {"out": b"", "err": b""}
    with process, selectors.DefaultSelector() as selector:
        for name, stream in (("out", process.stdout), ("err", process.stderr)):
            if stream:
                selector.register(stream, selectors.EVENT_READ, name)
        try:
            while selector.get_map():
                for key, _ in selector.select(timeout=1):
                    data = os.read(key.fd, 1 << 16)
                    texts[key.data] += data
                    if not data:
                        selector.unregister(key.fileobj)
                *lines, texts["err"] = texts["err"].split(b"\n")
                for line in lines:
                    progress.line(line.decode(errors="replace"))
                progress.tick()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        said = progress.last or texts["err"].decode(errors="replace").strip() or f"exit status {process.returncode}"
        raise ToolchainError(f"`go {command[1]}` failed: {said}")
    return texts["out"].decode().split()
