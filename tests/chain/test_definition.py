"""What is deployed, read back from the control plane as any client can."""

import asyncio

import pytest
from modal_proto import api_pb2

from tests.contract.conftest import LocalModal
from tests.contract.test_access import Caller


@pytest.fixture(scope="module")
def definition(plane: LocalModal) -> api_pb2.Function:
    variables = plane.client_env()
    caller = Caller(variables["MODAL_SERVER_URL"], variables["MODAL_TOKEN_ID"], variables["MODAL_TOKEN_SECRET"])
    answer = asyncio.run(
        caller.call("FunctionGet", app_name="inference-custom-blocks", object_tag="Executor.*", environment_name="main")
    )
    assert isinstance(answer, api_pb2.FunctionGetResponse)
    function: api_pb2.Function = answer.function.ranked_functions[0].function
    return function


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("single_use_containers", True),
        ("max_inputs", 1),
        ("timeout_secs", 20),
        ("startup_timeout_secs", 300),
        ("untrusted", True),
        ("checkpointing_enabled", True),
        ("is_class", True),
        ("module_name", "modal_app.app"),
    ],
)
def test_the_deployed_executor_has(definition: api_pb2.Function, field: str, value: object) -> None:
    assert getattr(definition, field) == value


def test_it_idles_for_half_a_minute_in_iowa(definition: api_pb2.Function) -> None:
    assert definition.autoscaler_settings.scaledown_window == 30
    assert list(definition.scheduler_placement.regions) == ["us-central1"]


def test_it_is_parameterised_by_its_workspace_alone(definition: api_pb2.Function) -> None:
    assert [spec.name for spec in definition.class_parameter_info.schema] == ["workspace_id"]


def test_it_answers_in_data_only(definition: api_pb2.Function) -> None:
    assert set(definition.method_definitions) == {"execute", "execute_wire", "validate"}
    for method in definition.method_definitions.values():
        assert list(method.supported_output_formats) == [api_pb2.DATA_FORMAT_CBOR]
