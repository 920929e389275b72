"""The smoke test passes on what is deployed; each of its rows fails when its subject is broken, and no other does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.chain.conftest import SAYS_ANOTHER, deploy, mutated
from tests.chain.doors import doors_of
from tests.chain.server import ROOT
from tests.contract.conftest import LocalModal

TIMEOUT = "CUSTOM_BLOCKS_TIMEOUT_SECONDS"
LIMIT = {TIMEOUT: "4"}
"""The app's time limit in these tests (s): the real one is waited for elsewhere."""

Change = tuple[str, str, str]


@dataclass(frozen=True)
class Break:
    """What to break for a row, and the reason that it must give.

    Broken can be source of the deployed app, source of the server, or settings of the deploy.
    """

    row: str
    reason: str
    deployed: tuple[Change, ...] = ()
    server: tuple[Change, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    """Rows that see the same fault, as they have the same subject in part."""


BREAKS = (
    Break(
        "versions",
        "1.8.2 by the deployed app",
        deployed=(("contract/response.py", '"inference": INFERENCE_VERSION,', '"inference": "1.8.2",'),),
    ),
    Break(
        "native call",
        "moment: ",
        deployed=(
            ("contract/kinds/times.py", "value.replace(tzinfo=None)", "value.replace(tzinfo=None, microsecond=0)"),
        ),
    ),
    Break(
        "workspaces are separate",
        " sees what a block left: ",
        deployed=(
            (
                "app.py",
                "single_use_containers=True,\n    timeout=SETTINGS.",
                "single_use_containers=False,\n    timeout=SETTINGS.",
            ),
        ),
        also=("http", "websocket"),
    ),
    Break(
        "anonymous policy",
        "was run without being allowed",
        server=(("server/policy.py", "if not MODAL_ALLOW_ANONYMOUS_EXECUTION:", "if False:"),),
    ),
    Break(
        "http",
        "missing 2 required positional arguments",
        deployed=(("gateway/http.py", "    return inputs\n", '    return "{}"\n'),),
    ),
    Break(
        "websocket",
        "it answers 101 to who has no token",
        deployed=(
            (
                "app.py",
                'requires_proxy_auth=True)\n    def wsapp(self) -> Any:\n        """One',
                'requires_proxy_auth=False)\n    def wsapp(self) -> Any:\n        """One',
            ),
        ),
    ),
    Break(
        "session",
        "by its module and `globals` the block ran for the [1, 2]. time, not the 2.",
        deployed=(("sandbox/session.py", "        if key not in self._blocks:\n", "        if True:\n"),),
    ),
    Break(
        "syntax error",
        "was found valid",
        server=(("server/validation.py", "if code_hash not in validated:", "if False:"),),
    ),
    Break("timeout", "the limit is 4 s, and the call ended after 2.", settings={TIMEOUT: "2"}),
    Break(
        "hostile result",
        "was executed in this process",
        deployed=(("app.py", "    _experimental_restrict_output=True,\n", ""),),
        server=(
            (
                "gate.py",
                'raise RefusedOutputError(f"the container answered in the format {name}, which is not data")',
                "result.data = cbor2.dumps(cbor2.dumps(__import__('pickle').loads(result.data)))\n"
                "            output.data_format = api_pb2.DATA_FORMAT_CBOR\n"
                "            return",
            ),
        ),
        also=("http", "websocket"),
    ),
    Break(
        "workflow on a picture",
        "class names",
        deployed=(
            (
                "contract/kinds/predictions.py",
                '    if isinstance(columns.get("mask"), CompactMask):',
                '    columns["data"] = {}\n    if isinstance(columns.get("mask"), CompactMask):',
            ),
        ),
    ),
)


def smoke(settings: dict[str, str], source: Path = ROOT, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report of the command."""
    done = subprocess.run(
        [sys.executable, "-m", "modal_app.smoke", "--json", *options],
        env={**os.environ, **LIMIT, **settings},
        cwd=source,
        text=True,
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


def variables(plane: LocalModal, environment: str) -> dict[str, str]:
    """As `make smoke` has them: a server's, and those of the doors."""
    return {**plane.client_env(), "MODAL_ENVIRONMENT": environment, **doors_of(plane, environment).smoke_variables}


def rows(report: dict[str, Any], status: str) -> list[str]:
    return [check["name"] for check in report["checks"] if check["status"] == status]


def detail(report: dict[str, Any], row: str) -> str:
    return next(str(check["detail"]) for check in report["checks"] if check["name"] == row)


@pytest.fixture(scope="module")
def quick_limit(plane: LocalModal) -> str:
    """An environment where the app has the lowered time limit."""
    deploy(plane, "quick-limit", settings=LIMIT)
    return "quick-limit"


@pytest.fixture
def broken(plane: LocalModal, quick_limit: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Break]:
    """Deploys the broken app where the break is in it; the server's variables name where."""
    fault: Break = request.param
    environment = quick_limit
    if fault.deployed or fault.settings:
        environment = fault.row.replace(" ", "-")
        deploy(plane, environment, mutated(tmp_path / "deployed", *fault.deployed), {**LIMIT, **fault.settings})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables(plane, environment).items():
            patch.setenv(name, value)
        yield fault
        if environment != quick_limit:
            command = [sys.executable, "-m", "modal", "environment", "delete", environment, "--yes"]
            subprocess.run(command, check=True, capture_output=True, timeout=60)


def test_every_row_passes_on_what_is_deployed(plane: LocalModal, quick_limit: str) -> None:
    status, report = smoke(variables(plane, quick_limit))
    assert [check for check in report["checks"] if check["status"] != "passed"] == []
    assert rows(report, "passed") == ["control plane", *(fault.row for fault in BREAKS)]
    assert report["passed"] is True
    assert status == 0


@pytest.mark.parametrize("broken", BREAKS, indirect=True, ids=lambda fault: fault.row)
def test_a_row_fails_when_its_subject_is_broken_and_no_other_does(broken: Break, tmp_path: Path) -> None:
    status, report = smoke({}, mutated(tmp_path / "server", *broken.server) if broken.server else ROOT)
    assert set(rows(report, "failed")) == {broken.row, *broken.also}, report
    assert broken.reason in detail(report, broken.row)
    assert rows(report, "not run") == []
    assert report["passed"] is False
    assert status == 1


def test_without_a_control_plane_nothing_else_is_tried(tmp_path: Path) -> None:
    plane = LocalModal(tmp_path, {"LOCAL_MODAL_PORT": "0"})
    plane.start()
    stopped = plane.client_env()
    plane.run("stop")
    status, report = smoke(stopped)
    assert rows(report, "failed") == ["control plane"]
    assert rows(report, "not run") == [fault.row for fault in BREAKS]
    assert "MODAL_SERVER_URL" in report["checks"][0]["detail"]
    assert status == 1


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("MODAL_ENVIRONMENT", "nowhere", "make deploy"),
        ("MODAL_TOKEN_SECRET", "as-wrong", "refuses the credentials"),
        ("MODAL_TOKEN_ID", "", "there are no credentials"),
    ],
)
def test_what_keeps_it_from_calling_is_said_once(plane: LocalModal, setting: str, value: str, reason: str) -> None:
    status, report = smoke({**plane.client_env(), setting: value}, ROOT, "--quick")
    assert rows(report, "failed") == ["control plane"]
    assert rows(report, "passed") == []
    assert reason in report["checks"][0]["detail"]
    assert status == 1


def test_the_quick_one_runs_a_block_and_imports_no_engine(plane: LocalModal) -> None:
    status, report = smoke(plane.client_env(), ROOT, "--quick")
    assert (status, rows(report, "passed")) == (0, ["control plane", "a container answers"])
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "modal_app.smoke", "--quick"],
        env={**os.environ, **plane.client_env()},
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    ).stderr
    assert "modal_app.contract.cbor" in imported
    assert "roboflow_workflows" not in imported


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("contract/response.py", '"result": result,', '"result": {"answer": 1},'), "not (1, '1.8.3', {'answer':"),
        (
            ("contract/response.py", '"inference": INFERENCE_VERSION,', '"inference": "1.8.2",'),
            "(1, '1.8.2', {'answer':",
        ),
        (("contract/response.py", '"result": result,', '"results": result,'), "answer can't be read"),
    ],
)
def test_the_quick_one_fails_when_a_container_answers_otherwise(
    plane: LocalModal, tmp_path: Path, change: Change, reason: str
) -> None:
    environment = f"otherwise-{uuid4().hex[:8]}"
    deploy(plane, environment, source=mutated(tmp_path / "app", change))
    status, report = smoke({**plane.client_env(), "MODAL_ENVIRONMENT": environment}, ROOT, "--quick")
    assert (status, rows(report, "failed")) == (1, ["a container answers"])
    assert reason in detail(report, "a container answers")


PINNED = {"CUSTOM_BLOCKS_INFERENCE_VERSION": "1.8.2"}
STRICT = {"CUSTOM_BLOCKS_STRICT_VERSION": "true"}


@pytest.fixture(scope="module")
def other_inference(plane: LocalModal, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment whose containers have another inference than this project, for all that they say."""
    deploy(plane, "other-inference", mutated(tmp_path_factory.mktemp("other"), SAYS_ANOTHER), LIMIT)
    return "other-inference"


@pytest.mark.parametrize(
    ("environment", "settings", "reason"),
    [
        ("quick_limit", PINNED, "1.8.3 in the container, 1.8.3 by the deployed app, 1.8.2 by these settings"),
        ("other_inference", PINNED | STRICT, "1.8.3 in this server, 1.8.2 in the container"),
        ("other_inference", PINNED, ""),
    ],
    ids=["pinned, not deployed", "pinned, but the server is strict", "pinned and deployed"],
)
def test_the_containers_have_the_inference_that_the_settings_pin(
    plane: LocalModal, request: pytest.FixtureRequest, environment: str, settings: dict[str, str], reason: str
) -> None:
    where = {"MODAL_ENVIRONMENT": request.getfixturevalue(environment)}
    _, report = smoke({**plane.client_env(), **where, **settings})
    assert ("versions" in rows(report, "failed")) == bool(reason)
    assert (reason or "inference 1.8.2 as pinned, 1.8.3 in this process") in detail(report, "versions")
