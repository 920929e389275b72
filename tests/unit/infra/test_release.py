"""What a release does after each way that a deployment and its checks can end; tests/pipeline runs it for real."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra import release
from infra.converge.errors import HELD, STACK_NOT_FOUND, ConvergeError
from infra.release import BROKEN, NOT_DEPLOYED, ROLLED_BACK


@dataclass
class Script:
    """A stack that goes the way it is told, and writes down what it was asked for."""

    versions: list[int | None]
    """Before the deployment, after it."""
    checks: list[bool] = field(default_factory=list)
    """Whether they pass: after the deployment, after going back."""
    up_status: int = 0
    rollback_status: int = 0
    name: str = "staging"
    asked: list[str] = field(default_factory=list)
    checked_with: list[Mapping[str, Any]] = field(default_factory=list)

    def version(self) -> int | None:
        return self.versions["up" in self.asked]

    def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
        assert secrets
        if self.version() is None:
            raise ConvergeError("isn't deployed", STACK_NOT_FOUND)
        return {"of": self.version()}

    def up(self, *, record: Path | None = None) -> int:
        if record:
            record.write_text("stack staging: v2\n")
        self.asked.append("up")
        return self.up_status

    def rollback(self, version: str | None) -> int:
        assert version is None, "Modal knows better what was live before"
        self.asked.append("rollback")
        return self.rollback_status


def run(script: Script, monkeypatch: pytest.MonkeyPatch, record: Path | None = None) -> int:
    def smoke(stack: Script, outputs: Mapping[str, Any]) -> bool:
        script.asked.append("smoke")
        script.checked_with.append(outputs)
        assert stack is script
        return script.checks.pop(0)

    monkeypatch.setattr(release, "_smoke", smoke)
    status = release.release(script, record)  # type: ignore[arg-type]
    assert not script.checks, "every check was asked for"
    return status


def test_what_passes_every_check_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = Script([1, 2], [True])
    assert run(script, monkeypatch, tmp_path / "record") == 0
    assert script.asked == ["up", "smoke"]
    said = capsys.readouterr()
    assert said.out == "stack staging: v2\n"
    assert "v2 is live and passed every check" in said.err


def test_what_fails_a_check_is_undone_and_checked_as_the_server_of_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = Script([1, 2], [False, True])
    assert run(script, monkeypatch, tmp_path / "record") == ROLLED_BACK
    assert script.asked == ["up", "smoke", "rollback", "smoke"]
    assert script.checked_with == [{"of": 2}, {"of": 1}]
    said = capsys.readouterr()
    assert said.out == "", "what was deployed isn't announced"
    assert said.err.endswith("v1 is live again and passed every check; v2 is not live\n")


@pytest.mark.parametrize(
    ("script", "asked", "status", "said"),
    [
        (Script([1, 1], up_status=255), ["up"], NOT_DEPLOYED, "as the state says, v1"),
        (Script([None, None], up_status=255), ["up"], NOT_DEPLOYED, "as the state says, no version"),
        (Script([1, 2], [True], up_status=255), ["up", "rollback", "smoke"], ROLLED_BACK, "v2 is not live"),
        (Script([1, 1], [False]), ["up", "smoke"], BROKEN, "there is nothing to undo"),
        (Script([None, 1], [False]), ["up", "smoke"], BROKEN, "there is nothing to go back to"),
        (Script([1, 2], [False, False]), ["up", "smoke", "rollback", "smoke"], BROKEN, "failed on it too"),
        (Script([1, 2], [False], rollback_status=1), ["up", "smoke", "rollback"], BROKEN, "going back failed"),
    ],
)
def test_each_other_end_is_told_apart(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: Script,
    asked: list[str],
    status: int,
    said: str,
) -> None:
    assert run(script, monkeypatch) == status
    assert script.asked == asked
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_outputs_that_cannot_be_read_stop_it_before_anything_is_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held(Script):
        def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
            raise ConvergeError(f"held, secrets or not ({secrets})", HELD)

    script = Held([1, 2])
    with pytest.raises(ConvergeError, match="held"):
        run(script, monkeypatch)
    assert script.asked == []


def test_a_stack_without_a_backend_is_one_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path))
    assert release.main(["--stack", "staging"]) == 1
    said = capsys.readouterr().err
    assert "no Pulumi backend" in said
    assert said.count("\n") == 1
