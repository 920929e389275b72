"""A server with wrong settings is told of all of them when it starts."""

import subprocess
import sys


def load(**variables: str) -> subprocess.CompletedProcess[str]:
    script = (
        "from modal_app.server import configuration as c\n"
        "print(c.APP.timeout_seconds, c.LIMITS.result_depth, c.SERVER.strict_version)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), **variables}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)


def test_settings_of_all_groups_are_read() -> None:
    done = load(
        CUSTOM_BLOCKS_TIMEOUT_SECONDS="41", CUSTOM_BLOCKS_RESULT_DEPTH="42", CUSTOM_BLOCKS_STRICT_VERSION="true"
    )
    assert done.stdout == "41 42 True\n", done.stderr


def test_wrong_ones_of_all_groups_are_named() -> None:
    done = load(CUSTOM_BLOCKS_TIMEOUT_SECONDS="0", CUSTOM_BLOCKS_RESULT_DEPTH="x", CUSTOM_BLOCKS_STRICT_VERSION="maybe")
    assert done.returncode == 1
    for name in ("TIMEOUT_SECONDS", "RESULT_DEPTH", "STRICT_VERSION"):
        assert f"CUSTOM_BLOCKS_{name}=" in done.stderr
