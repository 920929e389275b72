"""The build from Go modules: what is said when Go is missing or fails. The chain tests use what it really builds."""

import re
from pathlib import Path

import pytest

from infra.toolchain.modules import GoModules, needed_go
from infra.toolchain.version import MODULE, ToolchainError

GO = """#!/bin/sh
case "$1 $*" in
  *" -m "*) echo "$STUB_SDK" ;;
  list*) echo "go: downloading example.org/a v1.0.0" >&2; echo a; echo b ;;
  build*) echo a >&2; echo "$@" >>"$STUB_LOG"; env >>"$STUB_LOG"; touch "${STUB_OUT:?example.org/a: no such module}" ;;
esac
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `go` that compiles nothing."""
    program = tmp_path / "bin" / "go"
    program.parent.mkdir()
    program.write_text(GO)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("STUB_LOG", str(tmp_path / "log"))
    return program


def test_without_go_that_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError, match="go is not on PATH"):
        GoModules().get(tmp_path, "1.2.3")


def test_what_go_said_last_is_the_reason_of_a_failure(go: Path, tmp_path: Path) -> None:
    assert go.exists()
    with pytest.raises(ToolchainError, match=r"`go build` failed: .*no such module"):
        GoModules().get(tmp_path, "1.2.3")


def test_the_host_is_laid_beside_the_cli(go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = tmp_path / "sdk" / "python" / "cmd" / "pulumi-language-python-exec"
    executor.parent.mkdir(parents=True)
    executor.write_text("executor")
    executor.chmod(0o444)
    folder = go.parent / "folder"
    folder.mkdir()
    monkeypatch.setenv("STUB_SDK", str(tmp_path / "sdk"))
    monkeypatch.setenv("STUB_OUT", str(folder / "pulumi"))
    GoModules().get(folder, "1.2.3")
    assert sorted(path.name for path in folder.iterdir()) == [
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    ]
    assert all((folder / name).stat().st_mode & 0o111 for name in ("pulumi-language-python", executor.name))
    log = (tmp_path / "log").read_text()
    assert "go/common/version.Version=v1.2.3" in log
    assert "-mod=readonly" in log
    assert "CGO_ENABLED=0" in log


def test_the_version_of_go_that_is_needed_is_the_modules_own() -> None:
    assert re.fullmatch(r"1\.\d+(\.\d+)?", needed_go())
    assert f"\ngo {needed_go()}\n" in (MODULE / "go.mod").read_text()
