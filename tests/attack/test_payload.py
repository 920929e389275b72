"""A container and the memory that it shares with the control plane: it can't promise or see what isn't its own."""

import errno

import modal
import pytest
from modal.exception import RemoteError

from tests.attack.conftest import Target, eventually

SHARED = """
    import stat

    def shared():
        for descriptor in range(3, 256):
            try:
                found = os.fstat(descriptor)
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):
                return descriptor

    def promise(reference, data_format=4):
        result = api_pb2.GenericResult(status=1, data_blob_id=reference)
        own = manager().current_input_id
        say([api_pb2.FunctionPutOutputsItem(input_id=own, result=result, data_format=data_format)])
        time.sleep(60)
"""


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("bl-" + "x" * 22, "refers to no payload"),
        ("payload:-1", "refers to no payload"),
        ("payload:9999999999999", "refers to no payload"),
        ("payload:999999999999", "over the limit of"),
        (f"payload:{33 << 20}", "over the limit of"),
        (f"payload:{2 << 20}", f"there are {1 << 20}"),
    ],
)
def test_what_it_promises_and_has_not_put_there_is_refused(target: Target, reference: str, why: str) -> None:
    memory = target.memory_mib
    with pytest.raises(RemoteError, match=f"result refused.*{why}"):
        target.run(SHARED + f"    os.ftruncate(shared(), 1 << 20)\n    promise({reference!r})")
    assert target.memory_mib - memory < 8


def test_what_it_has_put_there_is_data_as_any_other_answer(target: Target) -> None:
    code = "    os.pwrite(shared(), bytes([0x83, 1, 2, 3]), 0)\n    promise('payload:4')"
    assert target.run(SHARED + code) == [1, 2, 3]
    with pytest.raises(RemoteError, match=r"result refused.*PICKLE"):
        target.run(SHARED + code.replace("'payload:4'", "'payload:4', 1"))


def test_it_holds_no_more_than_a_file_of_its_own_may(target: Target) -> None:
    code = """
    try:
        os.ftruncate(shared(), 65 << 20)
    except OSError as error:
        result = error.errno
    """
    assert target.run(SHARED + code) == errno.EFBIG


def test_it_sees_no_other_containers_argument(target: Target) -> None:
    for _ in range(3):
        assert target.run(f"result = {'s' * (1 << 20)!r}[:1]") == "s"
    assert target.run(SHARED + "    result = os.fstat(shared()).st_size") == 0


def test_a_large_argument_passes_beside_its_connection_and_nothing_of_it_stays(target: Target) -> None:
    idle = 1  # the container of `big`, which other tests have called, waits for more
    assert eventually(lambda: target.busy() <= idle)
    descriptors = target.descriptors
    received = """
    protocol = [found for found in gc.get_objects() if type(found).__name__ == "H2Protocol"][-1]
    result = protocol.connection.data_received
    """
    attacker = modal.Cls.from_name("attacks", "Attacker", environment_name="main", client=target.client)
    assert target.run(received + "#" * (4 << 20)) < 1 << 20
    assert len(attacker().run.remote(f"result = bytes({4 << 20})")) == 4 << 20
    assert eventually(lambda: target.busy() <= idle and target.descriptors <= descriptors + 1)
