"""A container that has been taken over: what it sends back is refused, and nothing of it runs in this process."""

import pickle
import tempfile
from pathlib import Path
from typing import Any

from modal_proto import api_pb2
from roboflow_workflows.errors import WorkflowError

from modal_app.smoke import server
from modal_app.smoke.runner import CheckFailedError

IMPORTS = ("from modal._runtime import container_io_manager", "from modal_proto import api_pb2")
FORGE = """
def run(self, payload, status, note):
    manager = container_io_manager._ContainerIOManager
    send = manager._send_outputs

    async def send_forged(self, context, outputs):
        for item in outputs:
            item.data_format = api_pb2.DATA_FORMAT_PICKLE
            item.result.Clear()
            item.result.status = status
            item.result.data = item.result.serialized_tb = item.result.tb_line_cache = payload
            item.result.exception = note
        await send(self, context, outputs)

    manager._send_outputs = send_forged
    return {}
"""
NOTE = "forged by the smoke test"
EXPECTED = {
    api_pb2.GenericResult.GENERIC_STATUS_SUCCESS: "PICKLE",
    api_pb2.GenericResult.GENERIC_STATUS_FAILURE: NOTE,
}
"""What the container says that its call ended in; what the refusal quotes, which tells that the forgery arrived."""


class _WritesFile:
    """Unpickling one creates a file: what a hostile pickle would use to run anything."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def refused() -> str:
    """A block that replaces Modal's serialiser and answers in pickles, as a result and as an exception."""
    with tempfile.TemporaryDirectory(prefix="smoke-") as folder:
        canary = Path(folder) / "canary"
        payload = pickle.dumps(_WritesFile(canary))
        for status, quoted in EXPECTED.items():
            error = _send_forged(payload, int(status))
            if canary.exists():
                raise CheckFailedError("a pickle from the container was executed in this process")
            if error is None:
                raise CheckFailedError("a forged answer was taken for a result")
            if quoted not in error.public_message:
                raise CheckFailedError(f"the call failed before its answer could be refused: {error.public_message}")
    return "forged pickles, as a result and as an exception, were refused and not executed"


def _send_forged(payload: bytes, status: int) -> WorkflowError | None:
    return server.error_of(
        lambda: server.run_block(
            FORGE, f"smoke-hostile-{status}", imports=IMPORTS, payload=payload, status=status, note=NOTE
        )
    )
