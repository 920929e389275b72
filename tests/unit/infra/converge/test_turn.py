"""One deployment at a time."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.converge.errors import HELD, ConvergeError
from infra.converge.turn import turn

ROOT = Path(__file__).parents[4]


def test_a_second_one_is_told_who_has_it_and_since_when(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "turn"
    with turn(path, "up of stack local"):
        with pytest.raises(ConvergeError) as raised, turn(path, "destroy of stack local"):
            pass
        assert raised.value.status == HELD
        said = (
            rf"up of stack local by pid {os.getpid()}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d: wait for it, or end it"
        )
        assert re.fullmatch(said, str(raised.value))


def test_it_is_free_afterwards_also_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "turn"
    with pytest.raises(KeyError), turn(path, "up"):
        raise KeyError
    with turn(path, "up"):
        pass


def test_it_is_free_when_its_process_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "turn"
    script = f"""
from pathlib import Path
from infra.converge.turn import turn
with turn(Path({str(path)!r}), "up"):
    print(flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "\n"
    with pytest.raises(ConvergeError, match=f"up by pid {process.pid}"), turn(path, "up"):
        pass
    process.kill()
    process.communicate()
    with turn(path, "up"):
        pass
