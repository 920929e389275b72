"""Which build of torch goes into the image: said by a setting, or found out by asking uv."""

from pathlib import Path

import pytest

from modal_app import image


@pytest.fixture(autouse=True)
def _ask_anew() -> None:
    image.torch_build.cache_clear()


def fake_uv(folder: Path, exit_status: int) -> str:
    """A program in place of uv that notes its arguments; the real one's answer depends on the network."""
    uv = folder / "uv"
    uv.write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\nexit {exit_status}\n')
    uv.chmod(0o755)
    return str(uv)


@pytest.mark.parametrize(("exit_status", "build"), [(0, "cpu"), (2, "default")])
def test_auto_takes_the_cpu_build_where_its_index_answers(
    exit_status: int, build: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image, "_find_uv", lambda: fake_uv(tmp_path, exit_status))
    assert image.torch_build("auto") == build
    assert "--torch-backend=cpu" in (tmp_path / "asked").read_text()
    assert ("CPU build" in capsys.readouterr().err) == (build == "cpu")


def test_auto_without_uv_takes_the_default_build(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image, "_find_uv", lambda: None)
    assert image.torch_build("auto") == "default"
    assert "uv isn't installed here" in capsys.readouterr().err


def test_a_uv_that_does_not_run_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_find_uv", lambda: str(tmp_path / "missing"))
    assert image.torch_build("auto") == "default"


@pytest.mark.parametrize("choice", ["cpu", "default"])
def test_a_choice_is_not_questioned(
    choice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unexpected() -> str | None:
        raise AssertionError("uv was looked for")

    monkeypatch.setattr(image, "_find_uv", unexpected)
    assert image.torch_build(choice) == choice
    assert "as CUSTOM_BLOCKS_TORCH says" in capsys.readouterr().err
