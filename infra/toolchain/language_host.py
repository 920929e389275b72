# ruff: noqa: ARG002, E402 - the protocol gives the arguments; signals come first
"""Runs Python for a Pulumi CLI that was built from its Go modules: programs, providers and policy packs.

It speaks the LanguageRuntime protocol as the `pulumi` package ships it (pulumi.runtime.proto.language_pb2), as far as
preview, up, refresh, destroy, import and policies need it: nothing that generates code or installs packages. The
launcher beside it (pulumi-language-python) starts it as `language_host.py EXECUTOR [FLAG…] ENGINE`, where EXECUTOR is
the SDK's own pulumi-language-python-exec and ENGINE the address of the engine. It runs as a file of its own, outside
the package, so it imports nothing of this repository.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports below is no traceback

import importlib.metadata
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

ERROR_WAS_SHOWN = 32
"""Exit status of the executor after an error that it has shown itself."""
WATCH_SECONDS = 0.5
THREADS = 16
CHUNK_BYTES = 4096
MESSAGE_BYTES = 400 << 20
"""As in Pulumi's own hosts."""
END_WITH_HOST = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
signal.signal(signal.SIGINT, signal.SIG_IGN)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the language host is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What a child runs before its own program: the kernel ends it with the host, however that ends (prctl(2)).

Ctrl-C is the host's to follow, unless the program has a handler of its own: by itself Python shows a traceback.

The request holds while the thread that made the child lives: those of gRPC's pool live as long as the process. It is
made in the child's own interpreter, as nothing may run between fork and exec in a process of many threads.
"""


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The protocol's server, and the processes that it has started."""

    def __init__(self, executor: Path, engine: str) -> None:
        self._executor = executor
        self._engine = engine
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi"))

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        return language_pb2.AboutResponse(executable=sys.executable, version=sys.version.split()[0])

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """None to download: the providers stand in Pulumi.yaml."""
        return language_pb2.GetRequiredPackagesResponse()

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        pulumi = language_pb2.DependencyInfo(name="pulumi", version=importlib.metadata.version("pulumi"))
        return language_pb2.GetProgramDependenciesResponse(dependencies=[pulumi])

    def RuntimeOptionsPrompts(
        self, request: language_pb2.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        yield language_pb2.InstallDependenciesResponse(stderr=b"packages are installed by `make setup`\n")

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Nothing: the engine cancels what the program and the providers do with these themselves."""
        return empty_pb2.Empty()

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        """Runs the program to its end; its output is the host's own, which the engine shows."""
        info = request.info
        flags = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization or "organization",
            "root_directory": info.root_directory,
            "pwd": request.pwd,
            "parallel": str(request.parallel),
            "dry_run": "true" if request.dryRun else "false",
        }
        variables = {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        try:
            child = self._start(
                info,
                ["-u", str(self._executor), *(part for name, value in flags.items() for part in (f"--{name}", value)),
                 str(Path(info.program_directory, info.entry_point)), *request.args],
                cwd=request.pwd,
                env={**os.environ, **variables},
            )  # fmt: skip
        except OSError as error:
            return language_pb2.RunResponse(error=str(error))
        status = self._ended(child)
        if status == ERROR_WAS_SHOWN:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"the program ended with exit status {status}" if status else "")

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Runs a provider (PulumiPlugin.yaml) or a policy pack (PulumiPolicy.yaml) until the engine hangs up."""
        folder = request.info.program_directory
        arguments = [folder, *request.args]
        if request.kind == "analyzer":
            engine, *_ = request.args
            arguments = ["-m", "pulumi.policy", engine, folder]
        env = dict(variable.partition("=")[::2] for variable in request.env) or dict(os.environ)
        try:
            child = self._start(
                request.info,
                ["-u", *arguments],
                cwd=request.pwd or folder,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        context.add_callback(child.terminate)
        chunks: queue.SimpleQueue[language_pb2.RunPluginResponse | None] = queue.SimpleQueue()
        streams = {name: stream for name, stream in (("stdout", child.stdout), ("stderr", child.stderr)) if stream}
        for name, stream in streams.items():
            threading.Thread(target=_read, args=(stream, name, chunks), daemon=True).start()
        for _ in streams:
            while chunk := chunks.get():
                yield chunk
        yield language_pb2.RunPluginResponse(exitcode=self._ended(child))

    def close(self) -> None:
        """Ends what still runs: a program at once, a provider in its own way."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.terminate()

    def _start(
        self,
        info: language_pb2.ProgramInfo,
        arguments: Sequence[str],
        *,
        cwd: str,
        env: dict[str, str],
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise InterruptedError("the language host is ending")
            program = [_interpreter(info), *arguments]
            child = subprocess.Popen(  # noqa: S603 - what Pulumi.yaml and its plug-ins name
                [sys.executable, "-I", "-S", "-c", END_WITH_HOST, str(os.getpid()), *program],
                cwd=cwd,
                env=env,
                stdout=stdout,
                stderr=stderr,
            )
            self._children.add(child)
            return child

    def _ended(self, child: subprocess.Popen[bytes]) -> int:
        status = child.wait()
        with self._lock:
            self._children.discard(child)
        return status


def _interpreter(info: language_pb2.ProgramInfo) -> str:
    """The one of the virtual environment that `runtime.options.virtualenv` names, else the host's own.

    Raises:
        FileNotFoundError: the environment isn't there.
    """
    options = dict(info.options)
    if not (name := options.get("virtualenv")):
        return sys.executable
    python = Path(info.root_directory, str(name), "bin", "python")
    if not python.exists():
        raise FileNotFoundError(f"there is no {python}: run `make setup`")
    return str(python)


def _read(stream: IO[bytes], name: str, chunks: "queue.SimpleQueue[language_pb2.RunPluginResponse | None]") -> None:
    while data := os.read(stream.fileno(), CHUNK_BYTES):
        chunks.put(
            language_pb2.RunPluginResponse(stdout=data)
            if name == "stdout"
            else language_pb2.RunPluginResponse(stderr=data)
        )
    chunks.put(None)


def main(arguments: Sequence[str]) -> None:
    """Serves until SIGINT or SIGTERM, which is how the engine ends a plug-in, or until the engine is gone."""
    executor, *rest = arguments
    engine = rest[-1] if rest and not rest[-1].startswith("-") else ""
    parent = os.getppid()
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()  # a handler may interrupt another one: its put is reentrant
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: asked.put(number))
    host = LanguageHost(Path(executor), engine)
    limits = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
    server = grpc.server(ThreadPoolExecutor(THREADS), options=limits)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        with suppress(queue.Empty):
            asked.get(timeout=WATCH_SECONDS)
            break
    host.close()
    sys.stdout.flush()
    os._exit(0)  # calls that wait for a child must not hold the exit up


if __name__ == "__main__":
    main(sys.argv[1:])
