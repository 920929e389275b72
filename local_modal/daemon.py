"""The control plane as a background process: started once, found again, stopped; a stale record is seen as one."""

import asyncio
import fcntl
import json
import logging
import os
import signal
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from local_modal.errors import LocalModalError
from local_modal.heap import keep_freed_memory
from local_modal.runtime.policy import Policy
from local_modal.settings import Settings

RECORD = "control-plane.json"
LOCK = "control-plane.lock"
LOG = "control-plane.log"
START_SECONDS = 30.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks without the proxy that the environment names: it isn't on the way to this machine."""
FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid


@dataclass(frozen=True)
class Running:
    """What the running control plane says of itself."""

    pid: int
    url: str
    started_at: float
    advertised_url: str = ""

    @property
    def client_url(self) -> str:
        """Where clients reach it."""
        return self.advertised_url or self.url

    @classmethod
    def find(cls, home: Path) -> "Running | None":
        """The control plane of `home`, where one runs: it holds the lock as long as it lives, however it ends."""
        if not _locked(home):
            return None
        try:
            return cls(**json.loads((home / RECORD).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def healthy(self) -> bool:
        """Whether it answers."""
        try:
            with DIRECT.open(f"{self.url}/health", timeout=5) as answer:
                return bool(json.load(answer)["pid"] == self.pid)
        except (OSError, ValueError, KeyError, urllib.error.URLError):
            return False


def _locked(home: Path) -> bool:
    """Whether a control plane holds the lock: asked without taking it, so that asking never keeps one from starting."""
    try:
        with (home / LOCK).open("r") as file:
            answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except FileNotFoundError:
        return False
    return bool(FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _take_lock(home: Path) -> IO[str]:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (home / LOCK).open("w")
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError):
        file.close()
        raise LocalModalError(f"local Modal is already running with {home}.") from None
    return file


def run(settings: Settings, policy: Policy) -> None:
    """Serve in the foreground until SIGTERM or SIGINT.

    Raises:
        LocalModalError: another one runs, the port is taken, the store can't be used.
    """
    os.umask(0o022)  # containers read what is laid out for them as another user; what is secret is 0600 or behind 0700
    with _take_lock(settings.home):
        record = settings.home / RECORD
        try:
            keep_freed_memory()
            asyncio.run(_serve(settings, policy, record))
        finally:
            record.unlink(missing_ok=True)


async def _serve(settings: Settings, policy: Policy, record: Path) -> None:
    from local_modal.server import ControlPlane  # noqa: PLC0415 - half a second that only a control plane needs

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    plane = ControlPlane(settings, policy)
    await plane.start()
    running = Running(os.getpid(), plane.plane.settings.url, time.time(), settings.advertised_url)
    temporary = record.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(running)))
    temporary.rename(record)
    logging.getLogger(__name__).info("serving at %s", running.url)
    await stopping.wait()
    await plane.stop()


def start(arguments: list[str], settings: Settings) -> Running:
    """Start in the background, unless it runs; returns when it answers.

    Args:
        arguments: of `python -m local_modal start`, for the background process.
        settings: those that the arguments and the environment give.

    Raises:
        LocalModalError: it could not be started; the text has its own words.
    """
    if running := Running.find(settings.home):
        return running
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = settings.home / LOG
    with open(log, "a", opener=lambda name, flags: os.open(name, flags, 0o600)) as output:
        begin = output.tell()
        process = subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, "-m", "local_modal", "start", "--foreground", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        running = Running.find(settings.home)
        if running and running.healthy():
            return running
        if process.poll() is not None and not _locked(settings.home):  # another start may have been first
            with log.open() as file:
                file.seek(begin)
                said = file.read().strip().removeprefix("local-modal: ")
            raise LocalModalError(said or f"local Modal ended with exit status {process.returncode}; see {log}")
        time.sleep(POLL_SECONDS)
    process.terminate()
    raise LocalModalError(f"local Modal did not answer within {START_SECONDS:g} s; see {log}")


def stop(home: Path) -> bool:
    """Stop it, and wait until it is gone; False where none runs."""
    running = Running.find(home)
    if running is None:
        return False
    for signum in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(running.pid, signum)
        except ProcessLookupError:
            break
        end = time.monotonic() + STOP_SECONDS
        while _locked(home) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        if not _locked(home):
            break
    (home / RECORD).unlink(missing_ok=True)
    return True
