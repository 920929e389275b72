"""That the deployed class still runs a block, in a second: the answer is read as data, without importing the engine."""

import os
import secrets
import time
from dataclasses import asdict

import modal

from modal_app.contract import cbor
from modal_app.contract.errors import ContractError
from modal_app.gate import call_limits, open_client
from modal_app.settings import APP_NAME, CONTRACT_VERSION, EXECUTOR_CLASS, AppSettings, Limits, ServerSettings
from modal_app.smoke.runner import CheckFailedError

SOURCE = "def run(self, number):\n    return {'answer': number + 1}\n"
ANSWER_DEPTH = 8
ANSWER_ITEMS = 1000


def answers() -> str:
    """A fresh container runs a block on a number that nobody knew before, and says which versions it has."""
    number = secrets.randbelow(1 << 31)
    app, server, limits = AppSettings.from_environment(), ServerSettings.from_environment(), Limits.from_environment()
    request = {
        "contract": CONTRACT_VERSION,
        "inference": app.inference_version,
        "block_type": "SmokeTest",
        "code": {"type": "PythonCode", "run_function_code": SOURCE},
        "limits": asdict(limits),
        "inputs": {"number": number},
        "context": {},
        "debug": False,
    }
    seconds = server.call_seconds(app)
    with call_limits(step_seconds=server.step_seconds, seconds=seconds, max_bytes=limits.answer_bytes):
        client = open_client(os.environ["MODAL_TOKEN_ID"], os.environ["MODAL_TOKEN_SECRET"])
        executor = modal.Cls.from_name(APP_NAME, EXECUTOR_CLASS, client=client)(workspace_id="smoke")
        begin = time.perf_counter()
        sealed: bytes = executor.execute.remote(request)
        milliseconds = 1000 * (time.perf_counter() - begin)
    try:
        answer = cbor.decode(sealed, max_depth=ANSWER_DEPTH, max_items=ANSWER_ITEMS)
        found = answer["contract"], answer["inference"], answer["result"]
    except (ContractError, KeyError, TypeError) as error:
        raise CheckFailedError(f"the container's answer can't be read: {error}") from error
    expected = CONTRACT_VERSION, app.inference_version, {"answer": number + 1}
    if found != expected:
        raise CheckFailedError(f"contract, inference and result are {found}, not {expected}")
    return f"{milliseconds:.0f} ms for a first one; inference {app.inference_version}, contract {CONTRACT_VERSION}"
