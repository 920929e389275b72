"""What is generated from the settings is current, and is what Pulumi reads."""

from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from infra.app_facts import ROOT, app_facts
from infra.keys import stack_keys
from infra.reference import files, main

KEYS = stack_keys(app_facts())
PROJECT = yaml.safe_load((ROOT / "Pulumi.yaml").read_text("utf-8"))


def test_the_schema_and_the_page_are_current() -> None:
    stale = [path.name for path, text in files().items() if path.read_text("utf-8") != text]
    assert stale == [], "make docs writes them"


def test_every_key_is_declared_with_a_default_that_is_allowed() -> None:
    assert PROJECT["config"].keys() == KEYS.keys()
    for name, declared in PROJECT["config"].items():
        assert declared["default"] == KEYS[name].shown_default
        assert declared["description"]


def test_what_is_secret_is_declared_so() -> None:
    assert {name for name, declared in PROJECT["config"].items() if declared.get("secret")} == {
        "executorSecrets",
        "serverSecrets",
    }


def test_the_project_runs_infra_with_the_provider_of_this_repository() -> None:
    assert PROJECT["name"] == "inference-custom-blocks"
    assert PROJECT["main"] == "infra"
    assert PROJECT["runtime"] == {"name": "python", "options": {"virtualenv": ".venv"}}
    (provider,) = PROJECT["plugins"]["providers"]
    assert (ROOT / provider["path"] / "PulumiPlugin.yaml").exists()
    assert "languages" not in PROJECT["plugins"], "it would displace a user's own language host"


def test_a_stale_file_is_found_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.md"
    path.write_text("old")
    assert main(["--check"], lambda: {path: "new"}) == 1
    assert "page.md isn't current: make docs writes it" in capsys.readouterr().err
    assert path.read_text() == "old"
    assert main([], lambda: {path: "new"}) == 0
    assert path.read_text() == "new"
    assert main(["--check"], lambda: {path: "new"}) == 0
