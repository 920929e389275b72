"""The commands of the workflows, run as they stand there: from a first deployment to one that undoes itself."""

import re

import pytest

from tests.pipeline.conftest import Repository
from tests.pipeline.workflow import job

pytestmark = pytest.mark.timeout(900)
MAKE_FAILED = 2
"""How make ends when a recipe does, whatever that ended with."""
SECONDS, OTHER_SECONDS = 5, 9
"""Time limits of a block, for which the smoke test waits: before and with the broken change."""


def first_deployment(repository: Repository, stack: str) -> None:
    """As a person makes it who manages the workspace."""
    repository.configure(stack, timeout=SECONDS)
    said = repository.make(f"release STACK={stack}", repository.manager)
    assert f"stack {stack}: v1 is live and passed every check" in said
    assert "✗" not in said


def broken_deployment(repository: Repository, stack: str, token: dict[str, str]) -> None:
    """By the pipeline, which undoes it."""
    repository.break_app()
    repository.configure(stack, timeout=OTHER_SECONDS)
    said = repository.run_job(job("deploy", stack), token, status=MAKE_FAILED)
    before, _, after = said.partition("going back to v1")
    assert "✗" in before
    assert "✗" not in after
    assert re.search(rf"timeout .*✓  .*the limit is {SECONDS} s", after), "checked as a server of before"
    assert "v1 is live again and passed every check; v2 is not live" in after
    assert repository.history(stack) == ["v3", "v2", "v1"]


def test_staging_is_deployed_undone_when_broken_and_goes_on_with_the_next_good_change(repository: Repository) -> None:
    first_deployment(repository, "staging")
    token = repository.service_user("ci-staging", "staging", "contributor")
    broken_deployment(repository, "staging", token)

    said = repository.run_job(job("preview", "preview"), repository.service_user("ci-preview", "staging", "viewer"))
    comment = (repository.tree / "preview.md").read_text()
    assert comment.startswith("### What a deploy would change in `staging`\n\n    ")
    assert "modal:index:App: (update)" in comment
    assert "modal:index:App: (update)" in said
    nightly = job("nightly", "drift")
    drift = repository.run_job(nightly, token, matrix={"stack": "staging"}, status=MAKE_FAILED)
    assert "make deploy REFRESH=1 STACK=staging" in drift

    repository.mend_app()
    repository.configure("staging", timeout=SECONDS)
    said = repository.run_job(job("deploy", "staging"), token)
    assert "stack staging: v4 is live and passed every check" in said
    drift = repository.run_job(nightly, token, matrix={"stack": "staging"})
    assert "not compared, as the token in use may not see it" in drift


def test_production_is_shown_first_and_undone_when_broken(repository: Repository) -> None:
    first_deployment(repository, "production")
    reader = repository.service_user("ci-production-read", "production", "viewer")
    repository.run_job(job("nightly", "drift"), reader, matrix={"stack": "production"})
    broken_deployment(repository, "production", repository.service_user("ci-production", "production", "contributor"))
    assert "modal:index:App: (update)" in repository.run_job(job("deploy", "production-preview"), reader)
    said = repository.make("release STACK=production", reader, status=MAKE_FAILED)
    assert "the deployment failed; what is live is, as the state says, v3" in said


def test_a_preview_that_fails_is_a_comment_that_says_so_and_a_failed_job(repository: Repository) -> None:
    repository.configure("staging", timeout="soon")
    repository.run_job(job("preview", "preview"), repository.manager, status=MAKE_FAILED)
    comment = (repository.tree / "preview.md").read_text()
    assert comment.startswith("### The preview of `staging` failed\n\n    ")
    assert "    timeout: 'soon' must be" in comment
