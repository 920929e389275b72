"""Hashes change with what the app or its image is made of, and with nothing else."""

from pathlib import Path

import pytest

from infra.source import app_hash, image_hash, image_name

VERSIONS: dict[str, str | int] = {"modal": "1", "uv": "2", "python": "3.11", "contract": 1}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "modal_app" / "sandbox").mkdir(parents=True)
    for name in ("app.py", "image.py", "sandbox/runner.py"):
        (tmp_path / "modal_app" / name).write_text(name)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "requirements.gateway.txt").write_text("starlette==1")
    return tmp_path


@pytest.mark.parametrize("name", ["app.py", "image.py", "sandbox/runner.py", "sandbox/new.py"])
def test_a_file_of_the_app_changes_its_hash(root: Path, name: str) -> None:
    before = app_hash(root)
    (root / "modal_app" / name).write_text("changed")
    assert app_hash(root) != before


def test_a_package_of_the_gateway_changes_it(root: Path) -> None:
    before = app_hash(root)
    (root / "requirements" / "requirements.gateway.txt").write_text("starlette==2")
    assert app_hash(root) != before


def test_moving_a_file_changes_it_too(root: Path) -> None:
    before = app_hash(root)
    (root / "modal_app" / "sandbox" / "runner.py").rename(root / "modal_app" / "sandbox" / "run.py")
    assert app_hash(root) != before


def test_other_files_and_dates_do_not(root: Path) -> None:
    before = app_hash(root), image_hash({}, VERSIONS, root)
    (root / "modal_app" / "__pycache__").mkdir()
    (root / "modal_app" / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"x")
    (root / "README.md").write_text("x")
    (root / "modal_app" / "app.py").touch()
    assert (app_hash(root), image_hash({}, VERSIONS, root)) == before


def test_an_image_changes_with_its_description_settings_and_versions_only(root: Path) -> None:
    before = image_hash({"A": "1"}, VERSIONS, root)
    (root / "modal_app" / "app.py").write_text("changed")
    assert image_hash({"A": "1"}, VERSIONS | {"contract": 2}, root) == before
    assert image_hash({"A": "2"}, VERSIONS, root) != before
    assert image_hash({"A": "1"}, VERSIONS | {"modal": "9"}, root) != before
    (root / "modal_app" / "image.py").write_text("changed")
    assert image_hash({"A": "1"}, VERSIONS, root) != before


def test_an_images_name_holds_its_version_and_content() -> None:
    assert image_name("app", "1.8.3+cpu", "0123456789abcdef") == "app:1.8.3-cpu-0123456789ab"
