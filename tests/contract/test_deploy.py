"""Deployments: what is kept over them, what goes live when, how one goes back."""

from collections.abc import Callable
from subprocess import CompletedProcess

import modal
import modal.exception
import pytest

from tests.contract.conftest import Deploy, lookup

SOURCE = """
    import modal

    app = modal.App("{app}")
    image = modal.Image.debian_slim(python_version="3.11")


    @app.cls(image=image, timeout=20, single_use_containers=True, enable_memory_snapshot=True)
    class Box:
        name: str = modal.parameter()

        @modal.method()
        def version(self):
            return "{version}"


    @app.function(image=image, timeout=20)
    def number():
        return {number}
"""
Cli = Callable[..., CompletedProcess[str]]


def source(app: str, version: str, number: int = 1) -> str:
    return SOURCE.replace("{app}", app).replace("{version}", version).replace("{number}", str(number))


def test_an_unchanged_app_is_not_deployed_again(deploy: Deploy, cli: Cli) -> None:
    deploy(source("same", "one"))
    assert "no changes" in deploy(source("same", "one")).stdout
    assert cli("app", "history", "same", "--json").stdout.count('"version"') == 1


def test_a_handle_made_before_a_deployment_runs_the_new_code_after_it(deploy: Deploy, environment: str) -> None:
    deploy(source("rolling", "one"))
    box = lookup("rolling", "Box", environment, name="a")
    assert box.version.remote() == "one"
    deploy(source("rolling", "two"))
    assert box.version.remote() == "two"


def test_a_rollback_restores_every_function_for_old_and_new_handles(deploy: Deploy, cli: Cli, environment: str) -> None:
    deploy(source("back", "one", 1))
    deploy(source("back", "two", 2))
    box = lookup("back", "Box", environment, name="a")
    number = modal.Function.from_name("back", "number", environment_name=environment)
    assert (box.version.remote(), number.remote()) == ("two", 2)
    cli("app", "rollback", "back")
    assert (box.version.remote(), number.remote()) == ("one", 1)
    assert lookup("back", "Box", environment, name="b").version.remote() == "one"
    assert "v3" in cli("app", "history", "back", "--json").stdout
    cli("app", "rollback", "back", "v2")
    assert box.version.remote() == "two"


def test_a_rollback_to_a_version_that_never_was_says_so(deploy: Deploy, cli: Cli) -> None:
    deploy(source("firm", "one"))
    failed = cli("app", "rollback", "firm", "v9", check=False)
    assert failed.returncode != 0
    assert "v9" in failed.stderr + failed.stdout


def test_a_stopped_app_can_not_be_called_and_can_be_deployed_again(deploy: Deploy, cli: Cli, environment: str) -> None:
    deploy(source("ends", "one"))
    box = lookup("ends", "Box", environment, name="a")
    assert box.version.remote() == "one"
    cli("app", "stop", "ends", "--yes")
    with pytest.raises((modal.exception.NotFoundError, modal.exception.ConflictError)):
        box.version.remote()
    with pytest.raises(modal.exception.NotFoundError):
        lookup("ends", "Box", environment, name="b").version.remote()
    deploy(source("ends", "two"))
    assert lookup("ends", "Box", environment, name="a").version.remote() == "two"


def test_a_failing_deployment_leaves_the_running_one(deploy: Deploy, environment: str) -> None:
    deploy(source("stays", "one"))
    failed = deploy(source("stays", "two") + "\n    raise RuntimeError('half a file')\n", check=False)
    assert failed.returncode != 0
    assert lookup("stays", "Box", environment, name="a").version.remote() == "one"


@pytest.mark.usefixtures("local")
def test_what_local_modal_can_not_run_is_refused_by_name_at_deploy(deploy: Deploy) -> None:
    volume = source("volumes", "one").replace("def number", "def number", 1)
    gpu = volume.replace("@app.function(image=image,", '@app.function(image=image, gpu="T4",')
    failed = deploy(gpu, check=False)
    assert failed.returncode != 0
    assert "doesn't serve a GPU" in failed.stdout + failed.stderr
    periodic = volume.replace("@app.function(image=image,", "@app.function(image=image, schedule=modal.Period(days=1),")
    failed = deploy(periodic, check=False)
    assert "doesn't serve a schedule" in failed.stdout + failed.stderr


def test_secrets_reach_the_container_and_nothing_of_the_deployer_does(
    deploy: Deploy, cli: Cli, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYER_CANARY", "canary-of-the-deployer")
    cli("secret", "create", "named", "NAMED_KEY=named-value", "--force")
    deploy("""
        import os

        import modal

        app = modal.App("secretive")
        given = [modal.Secret.from_name("named"), modal.Secret.from_dict({"PLAIN_KEY": "plain-value"})]


        @app.function(image=modal.Image.debian_slim(python_version="3.11"), secrets=given, timeout=20)
        def variables():
            return dict(os.environ)
    """)
    seen = modal.Function.from_name("secretive", "variables", environment_name=environment).remote()
    assert (seen["NAMED_KEY"], seen["PLAIN_KEY"]) == ("named-value", "plain-value")
    assert not [name for name in seen if "TOKEN" in name or name == "DEPLOYER_CANARY"]


def test_a_changed_secret_reaches_the_next_call_without_a_deployment(
    deploy: Deploy, cli: Cli, environment: str
) -> None:
    cli("secret", "create", "changing", "KEY=before", "--force")
    deploy("""
        import os

        import modal

        app = modal.App("reads-secret")


        @app.cls(
            image=modal.Image.debian_slim(python_version="3.11"),
            secrets=[modal.Secret.from_name("changing")],
            timeout=20,
            single_use_containers=True,
            enable_memory_snapshot=True,
        )
        class Box:
            @modal.method()
            def read(self):
                return os.environ["KEY"]
    """)
    box = lookup("reads-secret", "Box", environment)
    assert box.read.remote() == "before"
    cli("secret", "create", "changing", "KEY=after", "--force")
    assert box.read.remote() == "after"


def test_an_app_that_was_looked_up_into_being_is_the_one_that_is_deployed(
    deploy: Deploy, cli: Cli, environment: str
) -> None:
    made = modal.App.lookup("looked-up", environment_name=environment, create_if_missing=True)
    deploy(source("looked-up", "one"))
    listed = [line for line in cli("app", "list", "--json").stdout.splitlines() if "ap-" in line]
    assert sum(str(made.app_id) in line for line in listed) == 1
    assert lookup("looked-up", "Box", environment, name="a").version.remote() == "one"
    assert cli("app", "list", "--json").stdout.count("looked-up") == 1
