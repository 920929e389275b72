"""Settings: their defaults are the app's requirements, the environment overrides them, nonsense is refused."""

import subprocess
import sys
from dataclasses import fields

import pytest

from modal_app.settings import AppSettings, Limits, ServerSettings, SettingsError


def test_the_defaults_of_the_app() -> None:
    assert AppSettings() == AppSettings(
        timeout_seconds=20,
        startup_timeout_seconds=300,
        scaledown_window_seconds=30,
        region="us-central1",
        torch="auto",
    )


@pytest.mark.parametrize("group", [AppSettings, Limits, ServerSettings])
def test_an_empty_environment_leaves_the_defaults(group: type[AppSettings | Limits | ServerSettings]) -> None:
    assert group.from_environment({}) == group()


@pytest.mark.parametrize("group", [AppSettings, Limits, ServerSettings])
def test_every_number_can_be_set(group: type[AppSettings | Limits | ServerSettings]) -> None:
    for field in fields(group):
        if field.type is int:
            settings = group.from_environment({f"CUSTOM_BLOCKS_{field.name.upper()}": "7"})
            assert getattr(settings, field.name) == 7


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "many", "²", " 7"])
def test_a_number_that_is_none_is_refused_by_the_name_of_its_variable(value: str) -> None:
    with pytest.raises(SettingsError, match=r"CUSTOM_BLOCKS_TIMEOUT_SECONDS=.* must be a positive whole number"):
        AppSettings.from_environment({"CUSTOM_BLOCKS_TIMEOUT_SECONDS": value})


def test_a_choice_is_one_of_those_offered() -> None:
    assert AppSettings.from_environment({"CUSTOM_BLOCKS_TORCH": "cpu"}).torch == "cpu"
    with pytest.raises(SettingsError, match="CUSTOM_BLOCKS_TORCH='gpu' must be one of auto, cpu, default"):
        AppSettings.from_environment({"CUSTOM_BLOCKS_TORCH": "gpu"})


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(SettingsError, match="CUSTOM_BLOCKS_REGION is empty"):
        AppSettings.from_environment({"CUSTOM_BLOCKS_REGION": ""})


def test_a_call_may_take_what_its_container_may_and_a_little_more() -> None:
    assert ServerSettings(call_grace_seconds=5).call_seconds(AppSettings()) == 325


def test_importing_them_takes_the_standard_library_only() -> None:
    script = (
        "import sys\nbefore = set(sys.modules)\nimport modal_app.settings\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "assert new == {'modal_app'}, new"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
