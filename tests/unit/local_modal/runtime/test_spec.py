"""A launch specification is checked before anything is started."""

from pathlib import Path
from typing import Any

import pytest
from modal_proto import api_pb2

from local_modal.runtime.spec import ExitStatus, LaunchSpec, placeholders

PROTO = api_pb2.ClassParameterInfo.PARAM_SERIALIZATION_FORMAT_PROTO


def spec(function: api_pb2.Function, *, checkpoint_id: str | None = "cp-1", **changes: Any) -> LaunchSpec:
    arguments = api_pb2.ContainerArguments(function_def=function, checkpoint_id=checkpoint_id)
    values: dict[str, Any] = {
        "python": Path("/usr/bin/python3"),
        "read_only": (),
        "binds": (),
        "env": {"SECRET": "hidden-value"},
        "container_arguments": arguments.SerializeToString(),
        "snapshot": True,
        "hide_params": True,
    }
    return LaunchSpec(**(values | changes))


def parameters(*kinds: Any) -> api_pb2.ClassParameterInfo:
    schema = [api_pb2.ClassParameterSpec(name=f"p{kind}", type=kind) for kind in kinds]
    return api_pb2.ClassParameterInfo(format=PROTO, schema=schema)


def test_hidden_parameters_get_a_placeholder_of_their_type() -> None:
    info = parameters(
        api_pb2.PARAM_TYPE_STRING, api_pb2.PARAM_TYPE_INT, api_pb2.PARAM_TYPE_BOOL, api_pb2.PARAM_TYPE_BYTES
    )
    prepared = spec(api_pb2.Function(is_checkpointing_function=True, class_parameter_info=info)).prepared()
    arguments = api_pb2.ContainerArguments.FromString(prepared.container_arguments)
    values = api_pb2.ClassParameterSet.FromString(arguments.serialized_params)
    assert [value.WhichOneof("value_oneof") for value in values.parameters] == [
        "string_value",
        "int_value",
        "bool_value",
        "bytes_value",
    ]


def test_a_class_without_parameters_has_nothing_to_hide() -> None:
    assert not spec(api_pb2.Function(is_checkpointing_function=True)).prepared().hide_params


def test_pickled_parameters_cant_be_hidden() -> None:
    info = parameters(api_pb2.PARAM_TYPE_STRING)
    info.format = api_pb2.ClassParameterInfo.PARAM_SERIALIZATION_FORMAT_PICKLE
    with pytest.raises(ValueError, match="one zygote per set"):
        placeholders(info)


def test_a_list_parameter_cant_be_hidden() -> None:
    with pytest.raises(ValueError, match="one zygote per set"):
        placeholders(parameters(api_pb2.PARAM_TYPE_LIST))


def test_a_snapshot_needs_a_function_that_has_one_and_an_id() -> None:
    with pytest.raises(ValueError, match="checkpoint_id"):
        spec(api_pb2.Function(is_checkpointing_function=True), checkpoint_id=None).prepared()
    with pytest.raises(ValueError, match="enable_memory_snapshot"):
        spec(api_pb2.Function()).prepared()


def test_a_direct_container_cant_hide_its_parameters() -> None:
    with pytest.raises(ValueError, match="only a snapshot"):
        spec(api_pb2.Function(), snapshot=False).prepared()


def test_secrets_dont_show_in_a_representation() -> None:
    assert "hidden-value" not in repr(spec(api_pb2.Function()))


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, "exit status 0"), (3 << 8, "exit status 3"), (9, "killed by SIGKILL"), (139, "killed by SIGSEGV")],
)
def test_an_exit_status_reads_as_a_sentence(status: int, text: str) -> None:
    assert str(ExitStatus.from_wait(status)) == text
