"""Settings: their defaults are the app's requirements, the environment overrides them, nonsense is refused."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import pytest

from modal_app import server, smoke
from modal_app.settings import (
    GROUPS,
    SERVER_NEEDS,
    AppSettings,
    ServerSettings,
    Settings,
    SettingsError,
    check_environment,
)


def read(**variables: str) -> AppSettings:
    return AppSettings.from_environment({f"CUSTOM_BLOCKS_{name.upper()}": text for name, text in variables.items()})


def test_the_defaults_of_the_app() -> None:
    assert AppSettings() == AppSettings(
        timeout_seconds=20,
        startup_timeout_seconds=300,
        scaledown_window_seconds=30,
        buffer_containers=None,
        max_containers=None,
        warm_workspaces=(),
        memory_mib=None,
        cpu=None,
        region="us-central1",
        cloud=None,
        routing_region=None,
        network="none",
        secrets=(),
        packages=(),
        inference_version="1.8.3",
        torch="auto",
        image_tag=None,
    )


def test_the_defaults_of_the_server() -> None:
    assert ServerSettings() == ServerSettings(
        step_seconds=20, call_grace_seconds=30, validation_cache_entries=1024, strict_version=False
    )


@pytest.mark.parametrize("group", GROUPS)
def test_an_empty_environment_leaves_the_defaults(group: type[Settings]) -> None:
    assert group.from_environment({}) == group()


@pytest.mark.parametrize("group", GROUPS)
def test_every_number_can_be_set(group: type[Settings]) -> None:
    types = get_type_hints(group)
    for field in fields(group):
        if types[field.name] in (int, int | None):
            variable = f"CUSTOM_BLOCKS_{field.name.upper()}"
            assert getattr(group.from_environment({variable: "777"}), field.name) == 777


def test_no_name_means_two_settings() -> None:
    names = [field.name for group in GROUPS for field in fields(group)]
    assert len(names) == len(set(names))


ALLOWED: dict[str, tuple[tuple[str, Any], ...]] = {
    "timeout_seconds": (("1", 1), ("86400", 86400)),
    "scaledown_window_seconds": (("2", 2), ("3600", 3600)),
    "buffer_containers": (("0", 0),),
    "cpu": (("0.125", 0.125), ("2", 2.0)),
    "cloud": (("oci", "oci"),),
    "region": (("eu", "eu"), ("us-ashburn-1", "us-ashburn-1")),
    "network": (("egress", "egress"),),
    "warm_workspaces": (("", ()), ("acme,anonymous", ("acme", "anonymous")), (" a,\n b ", ("a", "b"))),
    "secrets": (("executor.env,executor_secrets", ("executor.env", "executor_secrets")),),
    "packages": (("moto[s3,ec2]==5.1.0, shapely==2.1.2", ("moto[s3,ec2]==5.1.0", "shapely==2.1.2")),),
    "inference_version": (("1.9.0rc1", "1.9.0rc1"),),
    "image_tag": (("blocks", "blocks"), ("staging/blocks:v1", "staging/blocks:v1")),
}
REFUSED: dict[str, tuple[str, ...]] = {
    "timeout_seconds": ("", "0", "-1", "1.5", "many", "²", " 7", "86401", "9" * 5000),
    "scaledown_window_seconds": ("1", "3601"),
    "buffer_containers": ("-1",),
    "max_containers": ("0",),
    "memory_mib": ("127", "1e3"),
    "cpu": ("0", "0.1", "nan", "inf", "1.", ".5", "-1", "65"),
    "cloud": ("", "azure", "GCP"),
    "region": ("", "us central1", "US", "-"),
    "network": ("", "all"),
    "warm_workspaces": ("a/b", "a,a", "-x", "a" * 129),
    "secrets": ("a b/c", "a" * 65),
    "packages": ("shapely", "shapely>=2", "shapely==2.*", "--index-url==1", "a==1;b", "git+https://x/y==1", "a @ b==1"),
    "inference_version": ("", "latest", ">=1.8", "1.8.3 --pre"),
    "torch": ("gpu",),
    "image_tag": ("", "im-123", "a:b:c", "a/b/c:d", ":v1"),
}


@pytest.mark.parametrize(("name", "text", "value"), [(name, *case) for name in ALLOWED for case in ALLOWED[name]])
def test_a_value_that_is_allowed_is_taken(name: str, text: str, value: Any) -> None:
    assert getattr(read(**{name: text}), name) == value


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in REFUSED for text in REFUSED[name]])
def test_a_value_that_is_not_is_refused_by_variable_value_and_what_is_allowed(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{name: text})
    assert str(caught.value).startswith(f"CUSTOM_BLOCKS_{name.upper()}={text!r} must be ")
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_allowed_is_said_in_words() -> None:
    with pytest.raises(SettingsError, match=r"must be a whole number from 2 to 3600 \(s\)$"):
        read(scaledown_window_seconds="1")
    with pytest.raises(SettingsError, match=r"CUSTOM_BLOCKS_TORCH='gpu' must be one of auto, cpu, default$"):
        read(torch="gpu")
    with pytest.raises(SettingsError, match="separated by commas, each a package with its exact version, such as "):
        read(packages="shapely")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("false", False), ("FALSE", False)])
def test_a_flag(text: str, value: bool) -> None:
    assert ServerSettings.from_environment({"CUSTOM_BLOCKS_STRICT_VERSION": text}).strict_version is value


@pytest.mark.parametrize("text", ["", "1", "yes"])
def test_a_flag_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"CUSTOM_BLOCKS_STRICT_VERSION=.* must be true or false"):
        ServerSettings.from_environment({"CUSTOM_BLOCKS_STRICT_VERSION": text})


def test_all_errors_are_named_at_once() -> None:
    environ = {
        "CUSTOM_BLOCKS_CPU": "many",
        "CUSTOM_BLOCKS_TIMEOUT_SECONDS": "0",
        "CUSTOM_BLOCKS_STEP_SECONDS": "0",
        "CUSTOM_BLOCKS_RESULT_BYTES": "-1",
        "OTHERS": "0",
    }
    with pytest.raises(SettingsError) as caught:
        check_environment(environ)
    named = [line.partition("=")[0] for line in str(caught.value).splitlines()]
    assert sorted(named) == sorted(name for name in environ if name != "OTHERS")


def test_a_name_that_no_setting_has_is_refused() -> None:
    message = "CUSTOM_BLOCKS_TIMOUT_SECONDS is no setting; did you mean CUSTOM_BLOCKS_TIMEOUT_SECONDS?"
    with pytest.raises(SettingsError, match=re.escape(message)):
        read(timout_seconds="20")


def test_a_group_takes_no_offence_at_the_settings_of_another() -> None:
    assert read(step_seconds="5") == AppSettings()


def test_what_the_server_needs_of_the_apps_settings_is_what_it_reads() -> None:
    folders = (Path(package.__path__[0]) for package in (server, smoke))
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    found = {name for path in sources for name in re.findall(r"configuration\.APP\.(\w+)", path.read_text())}
    needs: Any = SimpleNamespace(**dict.fromkeys(SERVER_NEEDS, 1))
    assert ServerSettings(call_grace_seconds=5).call_seconds(needs) == 7
    assert found | {"startup_timeout_seconds"} == set(SERVER_NEEDS)


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
