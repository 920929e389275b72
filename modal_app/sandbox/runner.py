"""Answers the two calls of the app: `execute` runs a block, `validate` only loads it.

Whatever the block does, the answer is data; only a cancellation, which is Modal's own, is let through.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modal.exception import InputCancellation
from roboflow_workflows.execution_engine.v1.dynamic_blocks.block_duration import consume_block_duration
from roboflow_workflows.execution_engine.v1.dynamic_blocks.debug_logs import DebugLogsCollector, current_debug_collector
from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode
from roboflow_workflows.execution_engine.v1.dynamic_blocks.workflow_debug import (
    WorkflowDebugTrace,
    current_debug_step_name,
    current_debug_trace,
)

from modal_app.contract.errors import ContractError
from modal_app.contract.kinds import encode_value
from modal_app.contract.request import Request, check_request
from modal_app.contract.response import Failure, Output, RaisedError, Stage, build_response
from modal_app.sandbox.block import load_block, place_in_workflow
from modal_app.sandbox.failures import describe
from modal_app.sandbox.output import Printed, capture, printable
from modal_app.sandbox.randomness import reseed
from modal_app.sandbox.result import as_engine_takes
from modal_app.settings import Limits


def execute(request: Request) -> dict[str, Any]:
    """Runs the requested block once; see `modal_app.contract.response` for the answer."""
    return _answer(request, run=True)


def validate(request: Request) -> dict[str, Any]:
    """Loads the requested block's code; the answer has no failure if it could run, and its result is None."""
    return _answer(request, run=False)


def _answer(request: Request, *, run: bool) -> dict[str, Any]:
    try:
        limits = check_request(request)
        code = PythonCode.model_validate(request["code"])
    except (ContractError, KeyError, TypeError, ValueError) as error:
        reason = error if isinstance(error, ContractError) else f"the request is malformed: {error}"
        return build_response(failure=Failure("request", (RaisedError(type(error).__name__, str(reason)),)))
    return Call(request, code, limits).answer(run=run)


class Call:
    """One request being answered: what is known so far, so that a failure at any stage keeps it."""

    def __init__(self, request: Request, code: PythonCode, limits: Limits) -> None:
        self.request = request
        self.code = code
        self.limits = limits
        self.stage: Stage = "load"
        self.logs = DebugLogsCollector(max_chars_per_stream=limits.output_chars)
        self.trace = WorkflowDebugTrace() if request.get("debug") else None
        self.seconds = 0.0

    def answer(self, *, run: bool) -> dict[str, Any]:
        with capture(self.limits.output_chars) as printed:
            failure, result = None, None
            try:
                if run:
                    result = self.run()
                else:
                    load_block(self.code, self.request["block_type"])
            except InputCancellation:
                raise
            except BaseException as error:  # noqa: BLE001 - user code may raise anything, and that is an answer
                failure = self.describe(error)
        return build_response(
            result=result,
            failure=failure,
            output=self.output(printed),
            printed=printed.output(),
            traces=[] if self.trace is None else encode_value(self.trace.snapshot(), self.limits),
            seconds=self.seconds,
        )

    def run(self) -> Any:
        reseed()
        block_class = load_block(self.code, self.request["block_type"])
        self.stage = "init"
        block = block_class()
        self.stage = "run"
        place_in_workflow(block, self.request["context"])
        with self.observed():
            result = block.run(**self.request["inputs"])
        self.stage = "result"
        return encode_value(as_engine_takes(result), self.limits)

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Has the engine give this call what the block prints, its debug traces, and how long it runs."""
        current_debug_collector.set(self.logs)
        current_debug_trace.set(self.trace)
        current_debug_step_name.set(self.request["context"].get("step_name"))
        try:
            yield
        finally:
            measured = consume_block_duration()
            self.seconds = measured.duration if measured is not None else 0.0

    def describe(self, error: BaseException) -> Failure:
        if self.stage == "result" and isinstance(error, ContractError):
            return Failure("result", (RaisedError("TypeError", printable(str(error))[: self.limits.message_chars]),))
        return describe(error, self.stage, self.code, self.limits)

    def output(self, printed: Printed) -> Output:
        """What the run function printed; if it left by an exception that the engine doesn't catch, all there is."""
        for entries in self.logs.snapshot().values():
            return Output(printable(entries[0]["stdout"] or ""), printable(entries[0]["stderr"] or ""))
        return printed.output() if self.stage == "run" else Output()
