"""What the start module does before there is a server; with a server, tests/docker has it in its image."""

import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

PATH = Path(__file__).parents[3] / "docker" / "start.py"


@pytest.fixture(scope="module")
def start() -> ModuleType:
    """The module, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("start_of_the_server", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    """The port of something that answers /healthz so, and anything else with 404."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PATH, *arguments],
        env={**os.environ, **settings},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_a_server_that_says_so_is_healthy() -> None:
    with answering(200, json.dumps({"status": "healthy"}).encode()) as port:
        done = run("--healthy", PORT=str(port))
    assert (done.returncode, done.stdout, done.stderr) == (0, "healthy\n", "")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, b'{"status": "unhealthy"}', "HTTP Error 503"),
        (200, b'{"status": "starting"}', "starting"),
        (200, b"<html>", "Expecting value"),
        (200, b"[]", "'list' object"),
    ],
)
def test_any_other_answer_is_not_and_is_told(status: int, body: bytes, said: str) -> None:
    with answering(status, body) as port:
        done = run("--healthy", PORT=str(port))
    assert done.returncode == 1
    assert said in done.stdout
    assert done.stderr == ""


def test_no_server_is_not_healthy() -> None:
    with answering(200, b"") as port:
        pass
    done = run("--healthy", PORT=str(port))
    assert done.returncode == 1
    assert "Connection refused" in done.stdout


def test_asking_for_health_imports_nothing_but_the_standard_library() -> None:
    script = (
        f"import sys; sys.argv = ['start', '--healthy']; exec(open({str(PATH)!r}).read().replace('sys.exit(', '('));"
    )
    done = subprocess.run(
        [sys.executable, "-c", script + "print([m for m in ('torch', 'uvicorn', 'inference') if m in sys.modules])"],
        env={**os.environ, "PORT": "1"},
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"PORT": "nine"}, "PORT='nine' must be a positive number"),
        ({"PORT": "0"}, "PORT='0' must be a positive number"),
        ({"NUM_WORKERS": "-1"}, "NUM_WORKERS='-1' must be a positive number"),
    ],
)
def test_a_number_that_is_none_is_one_line(settings: dict[str, str], message: str) -> None:
    done = run(**settings)
    assert (done.returncode, done.stderr) == (1, f"start: {message}\n")


def test_an_argument_that_there_is_not_is_one_line() -> None:
    done = run("--port=9")
    assert done.returncode == 1
    assert done.stderr == "start: there is no argument --port=9; settings are environment variables\n"


def test_the_landing_folders_are_made_in_a_working_directory_of_its_own(
    start: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    start.enter_folder()
    assert Path.cwd().parent == tmp_path
    assert all(Path(name).is_dir() for name in start.LANDING)


def test_where_nothing_can_be_written_it_says_what_to_mount(
    start: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(start.StartError, match="mount a tmpfs"):
        start.enter_folder()


class Devices:
    """What torch and ONNX Runtime say of a machine that isn't this one."""

    def __init__(self, providers: list[str], gpu: str | None) -> None:
        self.preloaded = False
        self.runtime = SimpleNamespace(get_available_providers=lambda: providers, preload_dlls=self.preload)
        self.torch = SimpleNamespace(
            cuda=SimpleNamespace(is_available=lambda: gpu is not None, get_device_name=lambda _index: gpu)
        )

    def preload(self) -> None:
        self.preloaded = True

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setitem(sys.modules, "onnxruntime", self.runtime)
        patch.setitem(sys.modules, "torch", self.torch)


@pytest.mark.parametrize(
    ("providers", "gpu", "said", "chosen", "preloaded"),
    [
        (["CPUExecutionProvider"], None, "models run on the CPU", None, False),
        (["CUDAExecutionProvider"], "Tesla T4", "models run on the GPU, Tesla T4", None, True),
        (
            ["CUDAExecutionProvider"],
            None,
            "no GPU answers, so models fall back to the CPU",
            "[CPUExecutionProvider]",
            False,
        ),
    ],
)
def test_it_says_which_device_models_run_on(
    start: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    providers: list[str],
    gpu: str | None,
    said: str,
    chosen: str | None,
    preloaded: bool,
) -> None:
    devices = Devices(providers, gpu)
    devices.install(monkeypatch)
    monkeypatch.setenv("ONNXRUNTIME_EXECUTION_PROVIDERS", "")
    monkeypatch.delenv("ONNXRUNTIME_EXECUTION_PROVIDERS")
    assert start.choose_device().startswith(said)
    assert os.environ.get("ONNXRUNTIME_EXECUTION_PROVIDERS") == chosen
    assert devices.preloaded is preloaded


def test_an_operators_own_choice_of_providers_stays(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    Devices(["CUDAExecutionProvider"], None).install(monkeypatch)
    monkeypatch.setenv("ONNXRUNTIME_EXECUTION_PROVIDERS", "[OpenVINOExecutionProvider]")
    assert "ONNXRUNTIME_EXECUTION_PROVIDERS=[OpenVINOExecutionProvider]" in start.choose_device()
