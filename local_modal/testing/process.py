"""Local Modal as a process of the tests: a state folder and a port of its own, gone with the context."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from local_modal.credentials import Credentials
from local_modal.daemon import Running
from local_modal.errors import LocalModalError
from local_modal.settings import PREFIX, Settings

PACKAGES = Path(__file__).parents[2]
"""Where this package lies: on the path of the tests, so on that of the process."""
PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from local_modal.cli import main; sys.exit(main())"
POLL_SECONDS = 0.02
LOG = "output.log"


class LocalModalProcess:
    """Local Modal beside the tests, on Linux.

        with LocalModalProcess().with_setting("max_containers", 8) as local:
            subprocess.run(["modal", "deploy", "app.py"], env={**os.environ, **local.client_env()}, check=True)

    Settings are this process's `LOCAL_MODAL_*`, but for home, port, bind and advertised URL; images that were built
    before are used again, since their cache isn't the context's own.
    """

    def __init__(self, *, start_seconds: float = 60.0, stop_seconds: float = 30.0) -> None:
        """`start_seconds`, `stop_seconds`: how long it may take to answer, and to end (s)."""
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._settings: dict[str, str] = {}
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    def with_setting(self, name: str, value: object) -> Self:
        """A setting of local Modal by its name in `local_modal/settings.py`; lists are separated by commas."""
        self._settings[PREFIX + name.upper()] = str(value)
        return self

    def start(self) -> Self:
        """Start it; it answers when this returns.

        Raises:
            LocalModalError: it ended or didn't answer in time; the text has its own words.
        """
        self._home = Path(tempfile.mkdtemp(prefix="local-modal-"))
        own = {"HOME": str(self._home), "PORT": "0", "BIND": "127.0.0.1", "ADVERTISED_URL": ""}
        environment = {**os.environ, **{PREFIX + name: value for name, value in own.items()}, **self._settings}
        Settings.from_env(environment)
        with (self._home / LOG).open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - this package's own program
                [sys.executable, "-c", PROGRAM, str(PACKAGES), "start", "--foreground"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._url = self._wait(self._home, self._process).url
        except BaseException:
            self.stop()
            raise
        return self

    def _wait(self, home: Path, process: subprocess.Popen[bytes]) -> Running:
        end = time.monotonic() + self._start_seconds
        while time.monotonic() < end:
            running = Running.find(home)
            if running and running.healthy():
                return running
            if process.poll() is not None:
                said = (home / LOG).read_text(errors="replace").strip().removeprefix("local-modal: ")
                raise LocalModalError(said or f"local Modal ended with exit status {process.returncode}")
            time.sleep(POLL_SECONDS)
        raise LocalModalError(f"local Modal did not answer within {self._start_seconds:g} s")

    def stop(self) -> None:
        """End it with all containers, and delete its state."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(self._stop_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None
        self._url = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def get_url(self) -> str:
        """Where clients on this machine reach it."""
        self._running_home()
        return self._url

    def client_env(self) -> dict[str, str]:
        """The variables that connect a modal client: address, token (a secret) and environment."""
        settings = Settings.from_env({**os.environ, **self._settings})
        return Credentials.load(self._running_home()).client_variables(self._url, settings.environment)

    def get_logs(self) -> str:
        """What it printed."""
        return (self._running_home() / LOG).read_text(errors="replace")

    def _running_home(self) -> Path:
        if self._home is None or not self._url:
            raise LocalModalError("local Modal is not running: use `with`, or start() first")
        return self._home
