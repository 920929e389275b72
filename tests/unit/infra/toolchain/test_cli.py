"""Where a CLI comes from: PATH first, then what was gotten before, then each source in turn."""

import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.toolchain.cli import ToolchainError, cache, pulumi
from infra.toolchain.version import VERSION

ROOT = Path(__file__).parents[4]


@dataclass
class Source:
    """Gives a CLI, or a reason why it can't."""

    name: str
    reason: str = ""
    gotten: list[Path] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    def get(self, folder: Path, version: str) -> None:
        assert version == VERSION
        self.gotten.append(folder)
        if self.reason:
            (folder / "half").touch()
            raise ToolchainError(self.reason)
        (folder / "pulumi").touch()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}


def test_the_one_on_path_is_used_and_nothing_is_gotten(environ: dict[str, str]) -> None:
    program = Path(environ["PATH"], "pulumi")
    program.parent.mkdir()
    program.touch(0o755)
    source = Source("never")
    assert pulumi(environ, (source,)) == program
    assert source.gotten == []
    assert not cache(environ).exists()


def test_it_is_gotten_once_and_lies_outside_the_tree(environ: dict[str, str], tmp_path: Path) -> None:
    source = Source("first")
    path = pulumi(environ, (source,))
    assert path == tmp_path / "cache" / "inference-custom-blocks" / f"pulumi-{VERSION}" / "pulumi"
    assert path.exists()
    assert pulumi(environ, (source,)) == path
    assert len(source.gotten) == 1


def test_the_cache_is_in_the_home_folder_unless_said_otherwise(tmp_path: Path) -> None:
    assert cache({"HOME": str(tmp_path)}) == tmp_path / ".cache" / "inference-custom-blocks"


def test_where_one_source_fails_the_next_is_tried(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    path = pulumi(environ, (Source("first", "no way"), Source("second")))
    assert path.exists()
    assert [item.name for item in path.parent.iterdir()] == ["pulumi"], "nothing of the failure is left"
    assert capsys.readouterr().err == "toolchain: first: no way\n"


def test_where_all_fail_one_line_says_why_and_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(ToolchainError) as raised:
        pulumi(environ, (Source("first", "no way"), Source("second", "no go")))
    said = str(raised.value)
    assert "none on PATH; first: no way; second: no go." in said
    assert "Install Pulumi" in said
    assert "\n" not in said
    assert not list(cache(environ).glob("pulumi-*/*"))
    assert not list(cache(environ).glob(".pulumi-*"))


def test_what_an_interrupted_run_left_is_removed(environ: dict[str, str]) -> None:
    left = cache(environ) / f".pulumi-{VERSION}.abc" / "half"
    left.mkdir(parents=True)
    pulumi(environ, (Source("first"),))
    assert not left.parent.exists()


GETTING = """
import sys
from pathlib import Path
from infra.toolchain.cli import pulumi

class Slow:
    name = "slow"
    def get(self, folder, version):
        print("getting", flush=True)
        sys.stdin.readline()
        (folder / "pulumi").write_text("whole")

print(pulumi(sources=(Slow(),)).read_text(), flush=True)
"""


def test_two_that_want_it_at_the_same_time_get_it_once(environ: dict[str, str]) -> None:
    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-c", GETTING],
            cwd=ROOT,
            env={**os.environ, **environ},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    first = start()
    assert first.stdout
    assert first.stdout.readline() == "getting\n"
    second = start()
    assert second.stderr
    assert "waiting for another process" in second.stderr.readline()
    assert first.communicate("\n") == ("whole\n", "")
    assert second.communicate() == ("whole\n", "")


def test_the_command_prints_the_path(environ: dict[str, str]) -> None:
    program = Path(environ["PATH"], "pulumi")
    program.parent.mkdir()
    program.touch(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "infra.toolchain"],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{program}\n"
