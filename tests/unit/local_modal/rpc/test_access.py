"""The tables of who may call what."""

from local_modal.rpc import access
from local_modal.rpc.transport import SERVICE

METHODS = {method.name for method in SERVICE.methods}


def test_every_name_in_the_tables_is_an_rpc() -> None:
    assert access.RESTRICTED_CONTAINER | access.CONTAINER | access.CONTAINER_ONLY <= METHODS


def test_a_restricted_container_reaches_no_account_no_secret_and_no_call() -> None:
    words = ("Secret", "App", "Environment", "Token", "Workspace", "Map", "Blob", "Image", "Mount", "Sandbox", "Volume")
    assert not [name for name in access.RESTRICTED_CONTAINER if any(word in name for word in words)]


def test_what_containers_say_of_themselves_is_no_accounts_to_say() -> None:
    assert {"FunctionPutOutputs", "FunctionGetInputs", "TaskResult"} <= access.CONTAINER_ONLY
