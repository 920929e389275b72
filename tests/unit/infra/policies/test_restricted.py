"""An executor without one of Modal's restrictions is reported; the one of this repository has them all."""

import pytest

from infra.policies import restricted
from infra.policies.restricted import DEMANDED, RESTRICTED, SOURCE, unrestricted
from tests.unit.infra.policies.checking import reports, resource


def declared(cls: str = "Executor", /, **switches: object) -> str:
    words = ", ".join(f"{name}={value!r}" for name, value in switches.items())
    return f"@app.cls({words})\nclass {cls}:\n    pass\n"


def test_the_executor_of_this_repository_is_restricted() -> None:
    assert list(unrestricted(SOURCE.read_text("utf-8"))) == []
    assert reports(RESTRICTED, resource("App")) == []


@pytest.mark.parametrize("switch", DEMANDED)
@pytest.mark.parametrize("value", [False, None, "absent"])
def test_each_restriction_is_missed(switch: str, value: object) -> None:
    switches: dict[str, object] = dict.fromkeys(DEMANDED, True) | {switch: value}
    if value == "absent":
        del switches[switch]
    assert list(unrestricted(declared(**switches))) == [f"Executor is declared without {switch}=True"]


def test_a_function_is_held_to_the_same() -> None:
    assert len(list(unrestricted("@app.function()\ndef work(): ...\n"))) == len(DEMANDED)


def test_the_gateway_alone_may_reach_modal_and_has_no_secrets() -> None:
    assert list(unrestricted(declared("Gateway"))) == []
    assert list(unrestricted(declared("Gateway", secrets=[]))) == ["Gateway is trusted, and declared with secrets"]
    assert len(list(unrestricted(declared("Gateway2")))) == len(DEMANDED)


def test_a_module_that_declares_nothing_is_reported() -> None:
    assert list(unrestricted("import modal\n")) == ["no class or function is declared for Modal"]


def test_the_policy_reads_the_source_that_is_deployed(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("app") / "app.py"
    path.write_text(declared())
    monkeypatch.setattr(restricted, "SOURCE", path)
    monkeypatch.setattr(restricted, "ROOT", path.parent)
    assert len(reports(RESTRICTED, resource("App"))) == len(DEMANDED)
    assert reports(RESTRICTED, resource("Image")) == []
