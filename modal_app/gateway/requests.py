"""What either door asks of a sandbox: the fields of a message, checked, with the inputs as the client encoded them."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from modal_app.gateway.codes import Code, CodeStore
from modal_app.gateway.problems import Problem, bad_request
from modal_app.settings import CONTRACT_VERSION, Limits

MAX_NAME_CHARS = 512
MAX_IMPORTS = 1000
CONTEXT_FIELDS = ("step_name", "step_selector", "block_type", "workflow_execution_id")
_HASH = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Work:
    """One run of a block. `inputs` is a JSON text over HTTP, a msgpack map over WebSocket."""

    workspace_id: str
    code: Code
    function: str
    inputs: str | bytes
    context: Mapping[str, str | None]

    def request(self, limits: Limits) -> dict[str, Any]:
        """The argument of `Executor.execute_wire`."""
        return {
            "contract": CONTRACT_VERSION,
            "limits": asdict(limits),
            "code_str": self.code.source,
            "imports": list(self.code.imports),
            "run_function_name": self.function,
            "inputs": self.inputs,
            "context": dict(self.context),
        }


def read_work(workspace_id: str, fields: Mapping[str, Any], inputs: str | bytes, codes: CodeStore) -> Work:
    """The work that a message asks for; its code, if it brings some, is kept for messages that don't.

    Raises:
        Problem: `InvalidRequest`, or `UnknownCodeHash`, after which the client sends the code.
    """
    function = fields.get("run_function_name")
    if type(function) is not str or not 0 < len(function) <= MAX_NAME_CHARS:
        raise bad_request("run_function_name is not the name of a function")
    context = fields.get("workflow_context") or {}
    if type(context) is not dict:
        raise bad_request("workflow_context is not a map")
    placed = {name: _text(name, context.get(name)) for name in CONTEXT_FIELDS if name in context}
    return Work(workspace_id, _code(workspace_id, fields, codes), function, inputs, placed)


def _code(workspace_id: str, fields: Mapping[str, Any], codes: CodeStore) -> Code:
    code_hash, source = fields.get("code_hash"), fields.get("code_str")
    if code_hash is None and source is None:
        raise bad_request("there is neither code_str nor code_hash", status=200)
    if code_hash is not None and (type(code_hash) is not str or not _HASH.fullmatch(code_hash)):
        raise bad_request("code_hash is not a hash")
    if source is None:
        known = codes.get(workspace_id, code_hash or "")
        if known is None:
            raise Problem("UnknownCodeHash", "the code of this hash isn't kept here", 200, code_hash=code_hash or "")
        return known
    imports = fields.get("imports") or []
    if type(source) is not str or type(imports) is not list or len(imports) > MAX_IMPORTS:
        raise bad_request("code_str is not a text, or imports no list of them")
    if not all(type(line) is str for line in imports):
        raise bad_request("imports holds something that is not a text")
    code = Code(source, tuple(imports))
    if code_hash is not None and code.hash != code_hash:
        raise bad_request("code_hash is not the hash of code_str and imports")
    codes.put(workspace_id, code)
    return code


def _text(name: str, value: Any) -> str | None:
    if value is not None and (type(value) is not str or len(value) > MAX_NAME_CHARS):
        raise bad_request(f"{name} in workflow_context is not a short text")
    return value
