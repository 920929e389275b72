"""The language host over its protocol, started as Pulumi starts it: by its launcher, in the folder of a program."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from infra.toolchain.modules import LAUNCHER
from infra.toolchain.version import VERSION

ROOT = Path(__file__).parents[4]
Stub = language_pb2_grpc.LanguageRuntimeStub


def start(cwd: Path, launcher: Path = LAUNCHER) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([launcher, "127.0.0.1:9"], cwd=cwd, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def host() -> Iterator[tuple[subprocess.Popen[str], Stub]]:
    process = start(ROOT / "infra" / "toolchain")
    assert process.stdout
    with grpc.insecure_channel(f"127.0.0.1:{process.stdout.readline().strip()}") as channel:
        yield process, Stub(channel)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0


def plugin(folder: Path, source: str, *arguments: str, virtualenv: str = "") -> language_pb2.RunPluginRequest:
    folder.mkdir()
    (folder / "__main__.py").write_text(source)
    options = struct_pb2.Struct()
    if virtualenv:
        options.update({"virtualenv": virtualenv})
    info = language_pb2.ProgramInfo(root_directory=str(folder), program_directory=str(folder), options=options)
    return language_pb2.RunPluginRequest(
        pwd=str(folder), info=info, kind="resource", args=arguments, env=["COLOUR=blue=ish", "PATH=/usr/bin"]
    )


def test_it_says_the_version_of_the_sdk(host: tuple[subprocess.Popen[str], Stub]) -> None:
    _, stub = host
    assert stub.GetPluginInfo(empty_pb2.Empty()).version == VERSION
    about = stub.About(language_pb2.AboutRequest())
    assert about.version == ".".join(map(str, sys.version_info[:3]))
    assert stub.Handshake(language_pb2.LanguageHandshakeRequest(engine_address="127.0.0.1:9")) is not None
    assert list(stub.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest()).packages) == []


def test_a_provider_runs_with_its_arguments_and_variables(
    host: tuple[subprocess.Popen[str], Stub], tmp_path: Path
) -> None:
    source = "import os, sys\nprint(sys.argv[1], os.environ['COLOUR'])\nprint('oh', file=sys.stderr)\nsys.exit(3)\n"
    answers = list(host[1].RunPlugin(plugin(tmp_path / "provider", source, "127.0.0.1:7")))
    assert b"".join(answer.stdout for answer in answers) == b"127.0.0.1:7 blue=ish\n"
    assert b"".join(answer.stderr for answer in answers) == b"oh\n"
    assert answers[-1].exitcode == 3


def test_a_provider_ends_when_the_engine_hangs_up(host: tuple[subprocess.Popen[str], Stub], tmp_path: Path) -> None:
    request = plugin(tmp_path / "provider", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    call = host[1].RunPlugin(request)
    pid = int(next(call).stdout)
    descriptor = os.pidfd_open(pid)
    call.cancel()
    assert wait(descriptor)


@pytest.mark.parametrize(
    "command", [[LAUNCHER, "127.0.0.1:9"], [sys.executable, "infra/modal_provider"]], ids=["the host", "the provider"]
)
def test_ctrl_c_while_it_starts_is_no_traceback(tmp_path: Path, command: list[str | Path]) -> None:
    """What it imports first comes as if someone pressed the keys at that moment."""
    for name in ("grpc", "google"):
        (tmp_path / f"{name}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_is_not_a_programs_to_follow(host: tuple[subprocess.Popen[str], Stub], tmp_path: Path) -> None:
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('goes on')\n"
    answers = list(host[1].RunPlugin(plugin(tmp_path / "provider", source)))
    assert b"".join(answer.stdout for answer in answers) == b"goes on\n"
    assert b"".join(answer.stderr for answer in answers) == b""


def test_a_missing_environment_is_a_reason(host: tuple[subprocess.Popen[str], Stub], tmp_path: Path) -> None:
    request = plugin(tmp_path / "provider", "", virtualenv="nowhere")
    with pytest.raises(grpc.RpcError, match="make setup"):
        list(host[1].RunPlugin(request))


def test_it_ends_with_the_engine_and_ends_what_it_started(tmp_path: Path) -> None:
    request = plugin(tmp_path / "provider", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    script = (
        f"import subprocess\np = subprocess.Popen([{str(LAUNCHER)!r}, 'engine'])\nprint(p.pid, flush=True)\np.wait()"
    )
    engine = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert engine.stdout
    host = os.pidfd_open(int(engine.stdout.readline()))
    with grpc.insecure_channel(f"127.0.0.1:{engine.stdout.readline().strip()}") as channel:
        call = Stub(channel).RunPlugin(request)
        provider = os.pidfd_open(int(next(call).stdout))
        engine.kill()
        engine.communicate()
        assert wait(provider)
        assert wait(host)


@pytest.mark.parametrize("also_the_engine", [False, True], ids=["the host alone", "the engine and the host"])
def test_a_kill_leaves_no_program_running(tmp_path: Path, *, also_the_engine: bool) -> None:
    """SIGKILL, which nobody can answer: what it had started ends all the same."""
    executor, host_file = tmp_path / "executor.py", ROOT / "infra" / "toolchain" / "language_host.py"
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    executor.write_text(f"import os, time\nopen({str(pids)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    script = (
        "import subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-P', {str(host_file)!r}, {str(executor)!r}, '127.0.0.1:9'])\n"
        "print(p.pid, flush=True)\np.wait()"
    )
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), program_directory=str(tmp_path), entry_point=".")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout
        host, port = (int(engine.stdout.readline()) for _ in range(2))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = Stub(channel).Run.future(language_pb2.RunRequest(pwd=str(tmp_path), info=info))
            program = os.pidfd_open(int(pids.read_text()))
            if also_the_engine:
                engine.kill()
            os.kill(host, signal.SIGKILL)
            assert wait(program)
            assert call.exception() is not None


def test_outside_a_tree_it_says_where_it_belongs(tmp_path: Path) -> None:
    process = start(tmp_path)
    _, said = process.communicate()
    assert process.returncode == 1
    assert "in no tree of it" in said


def test_in_a_tree_that_is_not_set_up_it_says_what_to_do(tmp_path: Path) -> None:
    host = tmp_path / "infra" / "toolchain" / "language_host.py"
    host.parent.mkdir(parents=True)
    host.touch()
    process = start(host.parent)
    assert "make setup" in process.communicate()[1]
    assert process.returncode == 1


def wait(descriptor: int, seconds: float = 20) -> bool:
    """Whether the process ended in time."""
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)
