"""The description of the settings is JSON that another program can rely on."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, fields
from typing import Any

import pytest

from modal_app.settings import (
    APP_NAME,
    CONTRACT_VERSION,
    GROUPS,
    INFERENCE_VERSION,
    MODAL_VERSION,
    AppSettings,
    Limits,
    ServerSettings,
    WebSettings,
)

TYPES: dict[str, type | tuple[type, ...]] = {
    "integer": int,
    "number": (int, float),
    "string": str,
    "boolean": bool,
    "list": list,
}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modal_app.settings", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    description: dict[str, Any] = json.loads(done.stdout)
    return description


def test_names_and_versions(printed: dict[str, Any]) -> None:
    assert printed["app"] == APP_NAME
    versions = printed["versions"]
    assert versions["inference"] == INFERENCE_VERSION
    assert versions["modal"] == MODAL_VERSION
    assert versions["contract"] == CONTRACT_VERSION


def test_defaults(printed: dict[str, Any]) -> None:
    app, server = asdict(AppSettings()) | asdict(WebSettings()), asdict(ServerSettings()) | asdict(Limits())
    as_json = json.loads(json.dumps([app, server]))
    assert [printed["defaults"], printed["server_defaults"]] == as_json


def test_every_setting_is_described(printed: dict[str, Any]) -> None:
    assert list(printed["allowed"]) == [field.name for group in GROUPS for field in fields(group)]
    for name, facts in printed["allowed"].items():
        assert facts["variable"] == f"CUSTOM_BLOCKS_{name.upper()}"
        assert facts["group"] == ("app" if name in printed["defaults"] else "server")
        assert facts["description"].endswith("."), name
        assert facts["allowed"]


def test_every_default_is_what_the_description_allows(printed: dict[str, Any]) -> None:
    for name, value in (printed["defaults"] | printed["server_defaults"]).items():
        facts = printed["allowed"][name]
        if value is None:
            assert facts["optional"], name
            continue
        assert isinstance(value, TYPES[facts["type"]]), name
        assert value in facts.get("choices", [value]), name
        if "minimum" in facts:
            assert facts["minimum"] <= value <= facts.get("maximum", value), name
        if "pattern" in facts:
            assert re.search(facts["pattern"], str(value)), name


def test_bounds_units_choices_and_items(printed: dict[str, Any]) -> None:
    allowed = printed["allowed"]
    window = allowed["scaledown_window_seconds"]
    assert (window["type"], window["minimum"], window["maximum"], window["unit"]) == ("integer", 2, 3600, "s")
    assert "maximum" not in allowed["result_bytes"]
    assert allowed["cpu"]["type"] == "number"
    assert allowed["network"]["choices"] == ["none", "egress"]
    assert allowed["warm_workspaces"]["type"] == "list"
    assert re.search(allowed["warm_workspaces"]["items"]["pattern"], "acme")
    assert allowed["strict_version"]["type"] == "boolean"


def test_a_description_is_the_docstring_of_its_field(printed: dict[str, Any]) -> None:
    assert printed["allowed"]["image_pixels"]["description"] == "Height times width of one image."


def test_what_is_printed_does_not_depend_on_the_environment(printed: dict[str, Any]) -> None:
    assert json.loads(run(CUSTOM_BLOCKS_TIMEOUT_SECONDS="7").stdout) == printed


def test_check_says_all_that_is_wrong_with_the_environment() -> None:
    done = run("--check", CUSTOM_BLOCKS_TIMEOUT_SECONDS="0", CUSTOM_BLOCKS_STEP_SECONDS="x")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 2


def test_check_is_silent_when_nothing_is() -> None:
    done = run("--check", CUSTOM_BLOCKS_TIMEOUT_SECONDS="7")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
