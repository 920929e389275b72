"""What the app says of itself, asked in a process of its own."""

import subprocess
import sys

import pytest

from infra.app_facts import ROOT, AppFactsError, app_facts


def test_it_knows_the_app_its_versions_and_defaults() -> None:
    facts = app_facts()
    assert facts.app == "inference-custom-blocks"
    assert {"inference", "modal", "contract"} <= facts.versions.keys()
    assert facts.defaults.keys() == facts.allowed.keys()
    assert set(facts.server_needs) <= facts.allowed.keys()


def test_the_callers_own_settings_are_no_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOM_BLOCKS_TIMEOUT_SECONDS", "999")
    assert app_facts.__wrapped__().defaults["timeout_seconds"] != 999


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit('broken')", "failed: broken"),
        ("print('hello')", "something else than expected"),
        ("print('{}')", "something else than expected: KeyError"),
    ],
)
def test_another_answer_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch, program: str, message: str) -> None:
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda _command, **options: real([sys.executable, "-c", program], **options))
    with pytest.raises(AppFactsError, match=message):
        app_facts.__wrapped__()


def test_asking_imports_nothing_of_the_app() -> None:
    code = "import sys; from infra.program import main; print([n for n in sys.modules if n.startswith('modal')])"
    asked = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"
