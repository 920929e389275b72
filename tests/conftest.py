"""What holds for every test: nothing of the user's own Modal reaches it, unless MODAL_TEST_REAL=1 asks for that.

Tests that need a control plane start one, with a state folder and a port of their own. HYPOTHESIS_PROFILE=full has
tests of generated values generate more of them, HYPOTHESIS_PROFILE=fuzz as many as a night has room for.
"""

import os
from pathlib import Path

import grpclib.client
import grpclib.server
import pytest
from hypothesis import settings

# Pulumi and googleapis-common-protos both define google.rpc.Status, and one process can hold one of them. No process of
# the product loads both; the tests' does, and nothing here uses gRPC's status details, for which grpclib would.
for module in (grpclib.client, grpclib.server):
    module._googleapis_available = lambda: False

KEPT = {"LOCAL_MODAL_CACHE", "MODAL_TEST_REAL"}
"""Built images may be shared with the user's local Modal: they are looked up by a hash of what makes them."""

if os.environ.get("MODAL_TEST_REAL") != "1":
    for name in [name for name in os.environ if name.startswith(("MODAL_", "LOCAL_MODAL_", "CUSTOM_BLOCKS_"))]:
        if name not in KEPT:
            del os.environ[name]
    os.environ["MODAL_CONFIG_PATH"] = os.devnull

settings.register_profile("full", max_examples=500, deadline=None)
settings.register_profile("fuzz", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

WHEN_NAMED = {Path(__file__).with_name(name) for name in ("load", "chaos")}
"""Folders of tests that take whatever time they are given: a run must name them."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out folders that a run must name and doesn't."""
    if collection_path not in WHEN_NAMED:
        return None
    named = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(collection_path in (path, *path.parents) for path in named) else True


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI, a run in which every test was skipped has run nothing, and ends as one that found no test does."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    ran = reporter is None or reporter.stats.get("passed") or session.config.option.collectonly
    if os.environ.get("CI") and exitstatus == pytest.ExitCode.OK and not ran:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
