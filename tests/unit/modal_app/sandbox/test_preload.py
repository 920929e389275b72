"""What happens before the snapshot, in a process that is as fresh as a container."""

import subprocess
import sys

import pytest

from modal_app.image import ENVIRONMENT
from modal_app.sandbox import preload


def test_afterwards_a_call_imports_nothing_more_and_no_thread_is_alive() -> None:
    """Threads don't survive a snapshot that is a fork; an import in a call would be paid by each call."""
    script = """
import sys, threading
from modal_app.sandbox.preload import preload, _request
preload()
before = set(sys.modules)
from modal_app.sandbox.runner import execute
assert execute(_request())["failure"] is None
assert set(sys.modules) == before, set(sys.modules) - before
assert {"inference.core", "cv2", "torch", "supervision", "shapely", "requests"} <= before
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
"""
    environment = {**ENVIRONMENT, "PYTHONPATH": ":".join(sys.path), "HOME": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_image_in_which_a_block_fails_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "WARM_UP", "def run(self, image, count):\n    return {'x': 1 / 0}")
    with pytest.raises(RuntimeError, match="division by zero"):
        preload.preload()
