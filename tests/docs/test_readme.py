"""The README's commands, names and files are those of the repository."""

import re
from importlib.util import find_spec
from pathlib import Path

from modal_app.settings import AppSettings
from modal_app.smoke.checks import all_checks
from tests.docs.test_makefile import targets

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def package_folder(name: str) -> Path:
    spec = find_spec(name)
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


def test_the_commands_of_the_readme_are_make_targets() -> None:
    commands = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"deploy", "test"} <= commands
    assert commands <= targets()


def test_the_files_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"`((?:modal_app|local_modal|requirements|docs|tests|benchmarks)/[\w./-]*)`", README))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_it_says_what_has_not_run_on_modal_itself() -> None:
    assert "Nothing here has run on Modal itself yet" in " ".join(README.split())


def test_the_time_limit_of_the_readme_is_the_default() -> None:
    assert f"A block runs for {AppSettings().timeout_seconds} seconds at most" in README


def test_the_servers_variables_are_read_by_the_code_or_the_engine() -> None:
    """Each variable of the table stands in the source of the server's side, of Modal's client or of the engine."""
    table = README[README.index("## Connect a server") : README.index("## Configure")]
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", table))
    folders = [ROOT / "modal_app", *(package_folder(name) for name in ("modal", "inference", "roboflow_workflows"))]
    source = "\n".join(path.read_text("utf-8") for folder in folders for path in folder.rglob("*.py"))
    assert named
    assert [name for name in sorted(named) if name not in source] == []


def test_the_transcript_has_the_rows_of_the_smoke_test_in_their_order() -> None:
    transcript = README[README.index("<!-- transcript: make smoke -->") :].split("```")[1].strip().splitlines()
    names = [re.split(r"\s{2,}", line)[0] for line in transcript]
    assert names == [check.name for check in all_checks(quick=False)]
    assert all(re.search(r"\d+\.\d\d s  ✓  \S", line) for line in transcript)
