"""Another inference version in the sandboxes is a warning, or an error where the server is strict."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from modal._serialization import deserialize
from modal_proto import api_pb2
from prometheus_client import REGISTRY
from roboflow_workflows.errors import DynamicBlockError
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.installed import INFERENCE_VERSION
from modal_app.server import configuration, validation
from modal_app.server import output as shown
from modal_app.server.executor import get_modal_executor
from modal_app.server.validation import ValidatedCode, validate_code_in_modal
from tests.unit.modal_app.server.control_plane import METHODS, ControlPlane, Output, output

CODE = PythonCode(type="PythonCode", run_function_code="def run(self): return {'n': 1}")


def older(function_input: api_pb2.FunctionInput) -> Output:
    """A container of a deploy with another version."""
    (request,), _ = deserialize(function_input.args, None)
    return output(data=cbor2.dumps(METHODS[function_input.method_name](request) | {"inference": "1.0.0"}))


def execute() -> Any:
    return get_modal_executor("ws").execute_remote("Block", CODE, {}, "ws")


def validate() -> Any:
    return validate_code_in_modal(CODE, "ws")


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "_warned", threading.Event())
    monkeypatch.setattr(validation, "validated", ValidatedCode(2))


def other_versions() -> float:
    """As the server's /metrics has it."""
    return REGISTRY.get_sample_value("custom_blocks_other_inference_version_total") or 0.0


def be_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "SERVER", replace(configuration.SERVER, strict_version=True))


def test_another_version_is_warned_of_once(plane: ControlPlane, caplog: pytest.LogCaptureFixture) -> None:
    plane.container = older
    before = other_versions()
    with caplog.at_level(logging.WARNING, shown.__name__):
        assert execute() == {"n": 1}
        assert execute() == {"n": 1}
    assert other_versions() - before == 2
    (record,) = caplog.records
    assert f"inference {INFERENCE_VERSION}" in record.getMessage()
    assert "'1.0.0'" in record.getMessage()


@pytest.mark.parametrize("action", [execute, validate])
def test_it_is_an_error_where_the_server_is_strict(
    action: Callable[[], Any], plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.container = older
    be_strict(monkeypatch)
    with pytest.raises(
        DynamicBlockError, match=r"'1\.0\.0': deploy the app .* CUSTOM_BLOCKS_STRICT_VERSION=false"
    ) as caught:
        action()
    assert caught.value.context == "modal_executor | inference_version"


@pytest.mark.usefixtures("plane")
@pytest.mark.parametrize("strict", [False, True])
def test_the_same_version_is_neither(
    strict: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if strict:
        be_strict(monkeypatch)
    with caplog.at_level(logging.WARNING, shown.__name__):
        assert validate() is True
        assert execute() == {"n": 1}
    assert caplog.records == []
