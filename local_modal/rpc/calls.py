"""Calls: inputs in, outputs out, cancel."""

from collections.abc import AsyncIterator, Sequence

import google.protobuf.empty_pb2
from modal_proto import api_pb2

from local_modal.rpc.service import Service, conflict, invalid, not_found
from local_modal.scheduler.calls import Call, Input, attempt_of
from local_modal.scheduler.task import Definition
from local_modal.store.functions import BoundFunction
from local_modal.web.address import web_configs

Empty = google.protobuf.empty_pb2.Empty

FOLLOW_SECONDS = 50.0
"""How long one request for a generator's values is answered; the client then asks again (s)."""


class CallService(Service):
    """What callers do with functions."""

    async def FunctionMap(self, request: api_pb2.FunctionMapRequest) -> api_pb2.FunctionMapResponse:
        bound, definition = self._callable(request.function_id)
        call = Call(bound, definition.app_id, request.function_call_type, request.function_call_invocation_type)
        call.retries = definition.function.retry_policy.retries
        call.by_container = self.in_container
        if any(definition.is_generator(item.input.method_name) for item in request.pipelined_inputs):
            if len(request.pipelined_inputs) > 1 or call.spawned:
                invalid("a generator has one caller, who waits for it")
            call.chunks = []
        self.plane.scheduler.calls.add(call)
        entries = self._submit(call, definition, request.pipelined_inputs)
        return api_pb2.FunctionMapResponse(
            function_call_id=call.call_id,
            function_call_jwt=call.call_id,
            pipelined_inputs=self._receipts(entries),
            retry_policy=definition.function.retry_policy,
            sync_client_retries_enabled=call.retries > 0,
            max_inputs_outstanding=1000,
        )

    async def FunctionPutInputs(self, request: api_pb2.FunctionPutInputsRequest) -> api_pb2.FunctionPutInputsResponse:
        call = self._call(request.function_call_id)
        _, definition = self._callable(call.function.bound_id)
        if call.chunks is not None or any(definition.is_generator(item.input.method_name) for item in request.inputs):
            invalid("a generator has one input, which its call begins with")
        entries = self._submit(call, definition, request.inputs)
        return api_pb2.FunctionPutInputsResponse(inputs=self._receipts(entries))

    async def FunctionFinishInputs(self, request: api_pb2.FunctionFinishInputsRequest) -> Empty:
        self._call(request.function_call_id)
        return Empty()

    async def FunctionRetryInputs(
        self, request: api_pb2.FunctionRetryInputsRequest
    ) -> api_pb2.FunctionRetryInputsResponse:
        call = self._call(request.function_call_jwt)
        _, definition = self._callable(call.function.bound_id)
        jwts = []
        for item in request.inputs:
            entry = call.inputs.get(attempt_of(item.input_jwt)[0]) or not_found("no such input")
            if not entry.done or entry.retries >= definition.function.retry_policy.retries:
                conflict("this input can't be retried")
            self._check(item.input)
            self.plane.scheduler.retry(definition, entry, item.input)
            jwts.append(entry.attempt)
        return api_pb2.FunctionRetryInputsResponse(input_jwts=jwts)

    async def FunctionGetOutputs(
        self, request: api_pb2.FunctionGetOutputsRequest
    ) -> api_pb2.FunctionGetOutputsResponse:
        call = self.plane.scheduler.calls.get(request.function_call_id)
        if call is None:
            not_found(
                f"Function call '{request.function_call_id}' not found: its results were fetched, are too old, "
                "or were lost when local Modal was restarted."
            )
        self.app(call.app_id)
        response = await call.wait_outputs(request)
        if request.clear_on_success and response.outputs and not call.unfinished and not self._may_retry(call):
            call.fetched = True
            self._forget(call)
        return response

    async def FunctionCallGetDataOut(
        self, request: api_pb2.FunctionCallGetDataRequest
    ) -> AsyncIterator[api_pb2.DataChunk]:
        call = self._call(request.function_call_id)
        if call.chunks is None:
            invalid("this call is none of a generator")
        try:
            async for chunk in call.follow(request.last_index, FOLLOW_SECONDS):
                yield chunk
        finally:
            self._forget(call)

    def _forget(self, call: Call) -> None:
        """Once its caller has its outputs, and all that its generator yielded."""
        if call.fetched and (call.chunks is None or call.followed):
            self.plane.scheduler.calls.forget(call)

    async def FunctionCallCancel(self, request: api_pb2.FunctionCallCancelRequest) -> Empty:
        call = self._call(request.function_call_id)
        self.plane.scheduler.cancel(call, terminate=request.terminate_containers)
        return Empty()

    async def FunctionCallFromId(
        self, request: api_pb2.FunctionCallFromIdRequest
    ) -> api_pb2.FunctionCallFromIdResponse:
        call = self._call(request.function_call_id)
        metadata = api_pb2.FunctionCallHandleMetadata(app_id=call.app_id, function_id=call.function.bound_id)
        return api_pb2.FunctionCallFromIdResponse(
            function_call_id=call.call_id, num_inputs=len(call.inputs), metadata=metadata
        )

    def _may_retry(self, call: Call) -> bool:
        success = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
        if all(item.result.status == success for item in call.outputs):
            return False
        _, definition = self._callable(call.function.bound_id)
        return any(entry.retries < definition.function.retry_policy.retries for entry in call.inputs.values())

    def _callable(self, function_id: str) -> tuple[BoundFunction, Definition]:
        bound = self.plane.functions.resolve(function_id) or not_found(f"Function '{function_id}' not found.")
        return bound, self.live_definition(bound)

    def _call(self, call_id: str) -> Call:
        call = self.plane.scheduler.calls.get(call_id) or not_found(f"Function call '{call_id}' not found.")
        self.app(call.app_id)
        return call

    def _submit(
        self, call: Call, definition: Definition, items: Sequence[api_pb2.FunctionPutInputsItem]
    ) -> list[Input]:
        endpoints = web_configs(definition.function)
        for item in items:
            if item.input.method_name in endpoints:
                invalid("a web endpoint is called at its URL")
            self._check(item.input)
        return self.plane.scheduler.submit(definition, call, items)

    def _check(self, payload: api_pb2.FunctionInput) -> None:
        if len(payload.args) > self.plane.settings.max_input_bytes:
            invalid(f"arguments over {self.plane.settings.max_input_bytes} bytes")
        blob_id = payload.args_blob_id
        if blob_id and self.plane.blobs.path(blob_id) is None:
            not_found(f"Blob '{blob_id}' was not uploaded, or is too old.")

    def _receipts(self, entries: list[Input]) -> list[api_pb2.FunctionPutInputsResponseItem]:
        return [
            api_pb2.FunctionPutInputsResponseItem(idx=entry.index, input_id=entry.input_id, input_jwt=entry.attempt)
            for entry in entries
        ]
