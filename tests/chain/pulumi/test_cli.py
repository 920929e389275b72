"""Which Pulumi CLI is used, and how: a released one on PATH as it is, or the one that was gotten, with its own host."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.chain.pulumi.conftest import ROOT, Deployment

pytestmark = pytest.mark.timeout(1800)

RELEASED = """#!/bin/sh
# Stands for a released CLI: says what it was asked, and that the stack isn't there until it was made.
echo "$@" >>"$0.log"
env >"$0.env"
case "$*" in
  "stack export"*) echo '{"deployment": null}' ;;
  "stack init"*) touch "$0.made" ;;
  up*) [ -e "$0.made" ] || exit 6 ;;
esac
"""


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A `pulumi` in a folder of its own."""
    program = tmp_path / "released" / "pulumi"
    program.parent.mkdir()
    program.write_text(RELEASED)
    program.chmod(0o755)
    return program


def test_a_released_cli_on_path_is_used_as_it_is(deployment: Deployment, released: Path, tmp_path: Path) -> None:
    deployment.variables = {
        "PATH": f"{released.parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PULUMI_BACKEND_URL": "s3://bucket",
    }
    deployment.run("up")
    commands = released.with_suffix(".log").read_text().splitlines()
    assert commands[0] == "stack export --stack local"
    assert [line.split(" --", 1)[0] for line in commands[1:]] == ["up", "stack init local", "up", "stack export"]
    assert not (tmp_path / "cache").exists(), "nothing is gotten"
    variables = released.with_suffix(".env").read_text()
    assert "pulumi-language" not in variables
    assert f"PATH={released.parent}:" in variables


def test_nothing_of_the_project_names_a_language_host() -> None:
    """It would stand in for that of a released CLI."""
    assert "languages" not in yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["plugins"]


def test_the_cli_that_was_gotten_has_its_host_beside_it(pulumi_cli: Path) -> None:
    assert (pulumi_cli.parent / "pulumi-language-python").is_file()
    version = subprocess.run([pulumi_cli, "version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("v")


def test_plain_pulumi_deploys_with_nothing_but_variables(deployment: Deployment, pulumi_cli: Path) -> None:
    """As a user with a released CLI does, without `make` and `infra.converge`."""
    deployment.backend.mkdir(parents=True)
    environ = {
        **deployment.environ,
        "PULUMI_BACKEND_URL": deployment.backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "ours",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    for arguments in (["stack", "init", "local"], ["up", "--stack", "local", "--yes", "--skip-preview"]):
        done = subprocess.run(
            [pulumi_cli, *arguments], cwd=deployment.tree, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert deployment.inventory() == deployment.expected()


def test_a_program_with_a_mistake_says_so_and_ends(deployment: Deployment) -> None:
    program = deployment.tree / "infra" / "program.py"
    program.write_text(program.read_text() + "\nraise LookupError('a mistake of the program')\n")
    assert "a mistake of the program" in deployment.run("up", status=1)


def test_without_its_virtual_environment_it_says_what_to_do(deployment: Deployment) -> None:
    (deployment.tree / ".venv").unlink()
    assert "make setup" in deployment.run("up", status=1)
