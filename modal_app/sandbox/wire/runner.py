"""Answers a call of the wire: decodes its inputs, runs the block, encodes the result, all in here.

The answer has the form of `modal_app.contract.response`; its result is the wire's text or bytes, which no one on the
way needs to understand.
"""

import time
from collections.abc import Callable
from typing import Any

from roboflow_workflows.execution_engine.v1.dynamic_blocks.block_duration import (
    BLOCK_DURATION_SOURCE_LOCAL_RUNTIME,
    record_block_duration,
)
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.contract.errors import ContractError
from modal_app.contract.request import Request, check_request
from modal_app.contract.response import Failure, RaisedError, build_response
from modal_app.sandbox.output import printable
from modal_app.sandbox.randomness import reseed
from modal_app.sandbox.result import as_engine_takes
from modal_app.sandbox.runner import Call
from modal_app.sandbox.wire.block import WireBlock, wire_code
from modal_app.sandbox.wire.decode import decode_inputs
from modal_app.sandbox.wire.encode import encode_result
from modal_app.settings import Limits

Load = Callable[[PythonCode, str], WireBlock]


def execute_wire(request: Request, load: Load | None = None) -> dict[str, Any]:
    """Runs the requested block once.

    Args:
        request: as `modal_app.gateway.requests.Work.request` builds it.
        load: gives the block of a code; where it is left out, the block is new and so are its random numbers.
    """
    try:
        limits = check_request(request)
        code = wire_code(request["code_str"], request["imports"], request["run_function_name"])
    except (ContractError, KeyError, TypeError, ValueError) as error:
        reason = error if isinstance(error, ContractError) else f"the request is malformed: {error}"
        return build_response(failure=Failure("request", (RaisedError(type(error).__name__, str(reason)),)))
    return _WireCall(request, code, limits, load).answer(run=True)


class _WireCall(Call):
    def __init__(self, request: Request, code: PythonCode, limits: Limits, load: Load | None) -> None:
        super().__init__(request, code, limits)
        self.load = load

    def run(self) -> Any:
        self.stage = "request"
        inputs = decode_inputs(self.request["inputs"])
        self.stage = "load"
        context = self.request["context"]
        if self.load is None:
            reseed()
        block = (self.load or WireBlock)(self.code, str(context.get("block_type")))
        self.stage = "run"
        with self.observed():
            started = time.monotonic()
            try:
                result = block.run(self.code.run_function_name, context, inputs)
            finally:
                duration = time.monotonic() - started
                record_block_duration(duration=duration, source=BLOCK_DURATION_SOURCE_LOCAL_RUNTIME)
        self.stage = "result"
        return encode_result(as_engine_takes(result), self.limits, packed=isinstance(self.request["inputs"], bytes))

    def describe(self, error: BaseException) -> Failure:
        if self.stage == "request":
            message = printable(str(error))[: self.limits.message_chars]
            return Failure("request", (RaisedError("InvalidRequest", message),))
        return super().describe(error)
