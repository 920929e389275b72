"""What a sandbox answered, checked and in the wire's form: fields, with the result as the sandbox encoded it."""

import json
from dataclasses import dataclass
from typing import Any

import msgpack

from modal_app.contract.errors import ContractError
from modal_app.contract.response import Failure, decode_envelope
from modal_app.contract.text import visible
from modal_app.contract.wire import ItemProblem, check_json, check_msgpack
from modal_app.gateway.problems import Problem
from modal_app.settings import Limits


@dataclass(frozen=True)
class Answer:
    """`fields` as the wire names them; `result`, if the block succeeded, is a JSON text or one value of msgpack."""

    fields: dict[str, Any]
    result: str | bytes | None = None

    @property
    def succeeded(self) -> bool:
        return self.result is not None

    def as_json(self) -> bytes:
        """The body of an answer over HTTP; the result in it is a text, itself JSON."""
        whole = self.fields if self.result is None else {**self.fields, "result": self.result}
        return json.dumps(whole).encode("ascii")

    def as_msgpack(self, request_id: str | None) -> bytes:
        """One message over WebSocket, with the id of its request; the result's bytes are put in as they are."""
        fields = self.fields if request_id is None else {**self.fields, "request_id": request_id}
        packer = msgpack.Packer(autoreset=False)
        packer.pack_map_header(len(fields) + (self.result is not None))
        for name, value in fields.items():
            packer.pack(name)
            packer.pack(value)
        if self.result is None:
            return bytes(packer.bytes())
        packer.pack("result")
        return bytes(packer.bytes()) + (self.result if isinstance(self.result, bytes) else self.result.encode())


def problem_answer(problem: Problem) -> Answer:
    """A failure that isn't a sandbox's answer. Only doors say `server_error`: the client acts on it."""
    fields: dict[str, Any] = {
        "success": False,
        "error": visible(problem.message),
        "error_type": problem.error_type,
        **problem.fields,
    }
    return Answer({**fields, "server_error": True} if problem.server_error else fields)


def read_answer(sealed: bytes, limits: Limits, *, packed: bool) -> Answer:
    """The answer in what a sandbox sent, which is whatever the code in it chose.

    Raises:
        Problem: the request didn't fit, or the result holds what a server must not get.
        ContractError: it isn't an answer.
    """
    response = decode_envelope(sealed, limits, lambda result: _result(result, packed=packed))
    output = {
        "stdout": visible(response.printed.stdout) or None,
        "stderr": visible(response.printed.stderr) or None,
        "execution_time_seconds": response.seconds,
    }
    if response.failure is None:
        return Answer({"success": True, **output}, response.result)
    return Answer({"success": False, **_failure(response.failure), **output})


def _result(result: Any, *, packed: bool) -> str | bytes:
    try:
        if packed and type(result) is bytes:
            check_msgpack(result)
            return result
        if not packed and type(result) is str:
            check_json(result)
            return result
    except ItemProblem as error:
        raise ContractError(f"the result in the answer {error}") from error
    raise ContractError("the result in the answer is not one of this transport")


def _failure(failure: Failure) -> dict[str, Any]:
    """Where and why the block failed: the line is the last one of its own code, as in a traceback."""
    error = failure.errors[-1]
    if failure.stage == "request":
        raise Problem("InvalidRequest", visible(error.message))
    message, frame = error.message, error.frames[-1] if error.frames else None
    if failure.stage == "load":
        message = f"Code initialization failed: {message}"
    return {
        "error": visible(message),
        "error_type": visible(error.type),
        "line_number": None if frame is None else frame.line,
        "function_name": None if frame is None else visible(frame.function),
    }
