"""GitHub's workflows: what each may do, that every step is a make target, and that the linters see a broken one."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.converge.errors import HELD
from infra.release import BROKEN, NOT_DEPLOYED, ROLLED_BACK
from tests.docs.test_makefile import ROOT, targets
from tests.pipeline.workflow import FOLDER, Job, Step, job, jobs, load, workflows

BY_ID = pytest.mark.parametrize("one", list(jobs()), ids=str)
ACTION = FOLDER / "actions" / "setup" / "action.yml"
NO_TARGETS = {
    # local Modal's jail is made of them, and Ubuntu's runners restrict them
    "sudo sysctl --write kernel.apparmor_restrict_unprivileged_userns=0",
    # in a job that may write to the pull request, and so runs none of its code
    'gh pr comment "$PULL_REQUEST" --repo "$GITHUB_REPOSITORY" --edit-last --create-if-none --body-file preview.md',
    # around the one command that reaches GitHub's registry
    'docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin <<<"$TOKEN"',
    "docker logout ghcr.io",
}
OF_LAYERS = {("check", "docker"): "read", ("deploy", "check"): "read", ("nightly", "images"): "write"}
"""Jobs that take images' layers from a registry, and the one of main that leaves them there."""
RUN_ON_THE_CHAIN = {("preview", "preview"), ("deploy", "staging"), ("deploy", "production-preview")} | {
    ("deploy", "production"),
    ("nightly", "drift"),
}
"""Jobs with an account: tests/pipeline/test_release.py runs their commands."""
RUN_BY_TESTS = {
    "ran": "docs/test_workflows.py",
    "test-docker": "docker",
    "images": "docker/test_server_image.py",
    "images-gpu": "docker/test_gpu_image.py",
    "sbom": "unit/infra/supply_chain",
    "audit": "unit/infra/supply_chain",
    "ci-full": "docs/test_ci.py",
}
"""Targets that no stage of `make ci` is, and which tests run what they run."""
WITH_A_TOKEN = {
    "MODAL_TOKEN_ID",
    "MODAL_TOKEN_SECRET",
    "PULUMI_BACKEND_URL",
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_CONFIG_PASSPHRASE",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
}


def stages(*, full: bool = False) -> set[str]:
    """The targets that `make ci` runs, or `make ci-full`."""
    always, _, at_length = (ROOT / ".ci" / "stages").read_text().partition('if [ "$full" ]')
    return set(re.findall(r"^(?: *| .*\) )stage .*?make ([a-z-]+)", always + at_length * full, re.MULTILINE))


def steps() -> list[Step]:
    """All of them, those of the action included."""
    return [step for one in jobs() for step in one.steps] + [Step(step) for step in load(ACTION)["runs"]["steps"]]


def secrets_of(content: Any) -> set[str]:
    return set(re.findall(r"secrets\.(\w+)", str(content)))


def test_every_command_is_a_make_target_that_there_is() -> None:
    commands = [step for step in steps() if step.command]
    assert {step.command for step in commands if step.target is None} == NO_TARGETS
    assert {step.target for step in commands if step.target} <= targets()


def test_every_job_that_reaches_an_account_is_run_on_the_chain_and_every_other_target_by_make_ci() -> None:
    with_account = {(one.workflow, one.name) for one in jobs() if secrets_of(one.content)}
    assert with_account == RUN_ON_THE_CHAIN
    others = [one for one in jobs() if (one.workflow, one.name) not in RUN_ON_THE_CHAIN]
    elsewhere = {step.target for one in others for step in one.steps if step.target}
    assert elsewhere - stages() <= RUN_BY_TESTS.keys()
    for target, path in RUN_BY_TESTS.items():
        assert (ROOT / "tests" / path).exists(), target


def test_a_change_is_checked_by_all_that_make_ci_runs() -> None:
    checked = {step.target for one in jobs() if one.workflow == "check" for step in one.steps if step.target}
    assert stages() - {"setup"} <= checked, "the action does the set-up"


def test_every_folder_of_tests_has_a_job() -> None:
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    matrix = set(job("check", "test").content["strategy"]["matrix"]["folder"])
    run = {step.target for one in jobs() for step in one.steps if step.target}
    others = {target.removeprefix("test-") for target in run | (stages(full=True) if "ci-full" in run else set())}
    assert matrix <= folders
    assert folders - matrix <= others, "a target of its own, make FOLDER or make test-FOLDER"


def test_the_required_check_waits_for_every_other_one() -> None:
    checked = job("check", "checked")
    assert {*checked.needs, "checked"} == set(workflows()["check"]["jobs"])
    assert checked.content["if"] == "always()"


@pytest.mark.parametrize(
    ("results", "fine"),
    [
        ("success", True),
        ("success success", True),
        ("success skipped", False),
        ("cancelled success", False),
        ("failure", False),
        ("", False),
    ],
)
def test_what_did_not_run_is_no_success(results: str, fine: bool) -> None:
    (step,) = [step for step in job("check", "checked").steps if step.command]
    environ = {**os.environ, "RESULTS": results}
    done = subprocess.run(["bash", "-c", step.command], cwd=ROOT, env=environ, capture_output=True, check=False)
    assert (done.returncode == 0) == fine


@pytest.mark.parametrize("name", workflows())
def test_a_workflow_may_do_nothing_that_a_job_does_not_ask_for(name: str) -> None:
    assert workflows()[name]["permissions"] == {}
    assert "pull_request_target" not in workflows()[name]["on"]
    assert "workflow_run" not in workflows()[name]["on"]


@BY_ID
def test_a_job_may_read_the_code_and_who_writes_to_a_pull_request_runs_none_of_it(one: Job) -> None:
    if one.workflow == "preview" and one.name == "comment":
        assert one.content["permissions"] == {"pull-requests": "write"}
        assert not [step for step in one.steps if "checkout" in str(step.content) or step.target]
    else:
        packages = OF_LAYERS.get((one.workflow, one.name))
        assert one.content["permissions"] == {"contents": "read", **({"packages": packages} if packages else {})}


@pytest.mark.parametrize("one", [job(*names) for names in OF_LAYERS if names[0] != "deploy"], ids=str)
def test_the_layers_registry_is_open_to_the_build_alone_and_what_a_pull_request_builds_is_not_left_there(
    one: Job,
) -> None:
    commands = [step.command for step in one.steps if step.command]
    login, build, logout = commands[:3]
    assert (login.split()[:2], build.split()[:2], logout) == (
        ["docker", "login"],
        ["make", "images"],
        "docker logout ghcr.io",
    )
    assert 'LAYERS="$LAYERS"' in build
    assert ("PUSH_LAYERS" in build) == ("pull_request" not in workflows()[one.workflow]["on"])


@BY_ID
def test_a_job_has_secrets_of_an_environment_only_and_gives_them_to_one_command(one: Job) -> None:
    users = [step for step in one.steps if secrets_of(step.content)]
    assert bool(users) == ("environment" in one.content)
    if users:
        (user,) = users
        assert user.content["env"].keys() - {"NAME"} == WITH_A_TOKEN
        assert user.target
        assert one.content.get("concurrency") or workflows()[one.workflow].get("concurrency")


@BY_ID
def test_a_job_ends_by_itself(one: Job) -> None:
    longest = 240 if (one.workflow, one.name) == ("nightly", "full") else 60
    assert "uses" in one.content or one.content["timeout-minutes"] <= longest


def test_what_has_a_secret_on_a_pull_request_is_not_run_for_a_fork() -> None:
    for one in jobs():
        if "pull_request" in workflows()[one.workflow]["on"] and secrets_of(one.content):
            assert one.content["if"] == "github.event.pull_request.head.repo.full_name == github.repository"


def test_production_comes_after_staging_and_its_preview_and_both_after_the_checks() -> None:
    assert job("deploy", "production").needs == ["production-preview"]
    assert job("deploy", "production-preview").needs == ["staging"]
    assert job("deploy", "staging").needs == ["check"]
    assert job("deploy", "check").content["uses"] == "./.github/workflows/check.yml"
    for stack in ("staging", "production"):
        assert job("deploy", stack).content["environment"] == stack
        assert job("deploy", stack).content["concurrency"] == {"group": f"stack-{stack}", "cancel-in-progress": False}


def test_every_action_is_pinned_by_its_commit_with_its_version_beside_it() -> None:
    lines = [line for path in FOLDER.rglob("*.yml") for line in path.read_text().splitlines()]
    uses = [line for line in lines if re.match(r" *(- )?uses:", line)]
    assert uses
    for line in uses:
        assert re.search(r"uses: (\./\S+$|[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$)", line), line


def test_a_checkout_leaves_no_credentials_behind() -> None:
    checkouts = [step for step in steps() if "actions/checkout" in step.content.get("uses", "")]
    assert checkouts
    assert all(step.content["with"] == {"persist-credentials": False} for step in checkouts)


def test_every_environment_secret_and_variable_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "ci.md").read_text()
    text = "".join(path.read_text() for path in (FOLDER / "workflows").glob("*.yml"))
    wanted = set(re.findall(r"(?:secrets|vars)\.(\w+)", text))
    wanted |= set(re.findall(r"^ +(?:- stack: .*\n +)?environment: ([\w-]+)$", text, re.MULTILINE))
    assert {"production", "production-read", "staging", "preview", "MODAL_TOKEN_ID"} <= wanted
    assert {name for name in wanted if f"`{name}`" not in page} == set()


def test_the_docs_tell_the_exit_statuses_of_a_release() -> None:
    page = (ROOT / "docs" / "ci.md").read_text()
    rows = {int(status) for status in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert rows == {0, NOT_DEPLOYED, ROLLED_BACK, BROKEN, HELD}


def test_a_long_preview_is_cut_to_what_a_comment_holds_and_can_not_end_its_own_block(tmp_path: Path) -> None:
    program = tmp_path / "make"
    program.write_text(
        "#!/bin/sh\nyes '```' | head -n 20000\nprintf '\\033[31mResources:\\033[0m\\n    1 to update\\n'\n"
    )
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [str(ROOT / ".ci" / "preview-comment"), "staging", str(tmp_path / "new" / "comment.md")]
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
    title, empty, *lines = (tmp_path / "new" / "comment.md").read_text().splitlines()
    assert sum(len(line) + 1 for line in (title, empty, *lines)) <= 65_536
    assert (title, empty) == ("### What a deploy would change in `staging`", "")
    assert all(line.startswith("    ") for line in lines)
    assert lines[-2:] == ["    Resources:", "        1 to update"]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / ".ci" / "lint-workflows", ROOT / ".venv" / "bin" / "zizmor", folder],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The workflows, to be broken."""
    shutil.copytree(FOLDER, tmp_path / ".github", ignore=shutil.ignore_patterns("tools"))
    return tmp_path / ".github"


def test_the_workflows_are_clean(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(workflows())} workflows are fine" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("needs: staging", "needs: stagign", 'job "production-preview" needs job "stagign" which does not exist'),
        ("secrets.MODAL_TOKEN_ID", "secret.MODAL_TOKEN_ID", 'undefined variable "secret"'),
        ("3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "v7.0.1", "unpinned-uses"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("permissions: {}", "permissions: write-all", "excessive-permissions"),
        ("make release STACK=staging", "echo ${{ github.head_ref }}", "template-injection"),
    ],
)
def test_a_broken_workflow_fails_the_lint(copy: Path, old: str, new: str, says: str) -> None:
    path = copy / "workflows" / "deploy.yml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = lint(copy)
    assert done.returncode == 1
    assert says in done.stdout + done.stderr


def test_a_folder_without_a_workflow_is_no_clean_one(tmp_path: Path) -> None:
    done = lint(tmp_path)
    assert done.returncode == 1
    assert "no workflow" in done.stderr


def test_without_go_the_lint_says_what_to_install(copy: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "realpath"):
        (programs / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        [ROOT / ".ci" / "lint-workflows", "zizmor", copy],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "lint-ci: go is not on PATH, and actionlint is built with it: install Go (Debian: apt-get install golang)\n"
    )
