"""The plug-in replaces two functions of the released engine, or refuses to load."""

import inspect
from types import ModuleType
from typing import Any

import pytest
from roboflow_workflows.errors import PluginLoadingError
from roboflow_workflows.execution_engine.v1.dynamic_blocks import modal_executor

from modal_app.server import executor, plugin, validation


def engine(**functions: Any) -> ModuleType:
    module = ModuleType("engine")
    module.__dict__.update(functions)
    return module


def released() -> dict[str, Any]:
    names = ("get_modal_executor", "validate_code_in_modal")
    return {name: getattr(modal_executor, name) for name in names}


def test_it_replaces_exactly_two_functions() -> None:
    module = engine(**released(), other=len)
    plugin.install(module, "modal")
    assert module.get_modal_executor is executor.get_modal_executor
    assert module.validate_code_in_modal is validation.validate_code_in_modal
    assert module.other is len


def test_ours_can_be_called_as_the_engines_are() -> None:
    for name, function in released().items():
        ours = getattr(plugin, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(function).parameters)


def test_it_does_nothing_in_local_mode(caplog: pytest.LogCaptureFixture) -> None:
    module = engine(**released())
    plugin.install(module, "local")
    assert released() == {name: getattr(module, name) for name in released()}
    assert "does nothing" in caplog.text


@pytest.mark.parametrize("name", ["get_modal_executor", "validate_code_in_modal"])
def test_it_refuses_an_engine_that_lacks_one(name: str) -> None:
    module = engine(**{key: value for key, value in released().items() if key != name})
    with pytest.raises(PluginLoadingError, match=f"can't replace engine.{name}.* does not have it"):
        plugin.install(module, "modal")
    assert not any(function in vars(module).values() for function in plugin.REPLACED)


@pytest.mark.parametrize("name", ["get_modal_executor", "validate_code_in_modal"])
def test_it_refuses_an_engine_that_passes_something_else(name: str) -> None:
    module = engine(**{**released(), name: lambda code: code})
    with pytest.raises(PluginLoadingError, match="has it with other parameters"):
        plugin.install(module, "modal")
    assert not any(function in vars(module).values() for function in plugin.REPLACED)


def test_it_brings_no_blocks() -> None:
    assert plugin.load_blocks() == []
