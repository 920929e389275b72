"""Validates a block's code before its workflow runs: in a sandbox, since that runs the top level of the code."""

import hashlib
import json
import threading
from collections import OrderedDict

from roboflow_workflows.execution_engine.v1.dynamic_blocks.entities import PythonCode

from modal_app.contract.request import build_request
from modal_app.server import configuration, output
from modal_app.server.caller import call
from modal_app.server.code_errors import code_error
from modal_app.server.policy import resolve_workspace

BLOCK_TYPE = "validation"
"""The engine validates code without saying whose block it is."""


class ValidatedCode:
    """Hashes of code found valid, the latest ones. What is invalid may be so for a passing reason, and isn't kept."""

    def __init__(self, max_entries: int) -> None:
        self.max_entries = max_entries
        self._hashes: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, code_hash: str) -> bool:
        with self._lock:
            return code_hash in self._hashes

    def add(self, code_hash: str) -> None:
        """Remembers a hash, and forgets the oldest one beyond the limit."""
        with self._lock:
            self._hashes[code_hash] = None
            if len(self._hashes) > self.max_entries:
                self._hashes.popitem(last=False)


validated = ValidatedCode(configuration.SERVER.validation_cache_entries)


def validate_code_in_modal(python_code: PythonCode, workspace_id: str | None = None) -> bool:
    """True if the code compiles, its top level runs (imports resolve) and its functions exist; one call per code.

    Replaces the engine's function of this name.

    Raises:
        DynamicBlockCodeError: the code doesn't compile, or its top level fails.
        DynamicBlockError: a function is missing, or the code couldn't be validated; the message says what to do.
    """
    workspace = resolve_workspace(workspace_id)
    code_hash = hash_code(python_code)
    if code_hash not in validated:
        request = build_request(python_code, BLOCK_TYPE, configuration.LIMITS)
        response = call("validate", workspace, request, BLOCK_TYPE)
        output.check_version(response)
        output.show(response, BLOCK_TYPE)
        if response.failure is not None:
            raise code_error(response, response.failure, python_code, BLOCK_TYPE)
        validated.add(code_hash)
    return True


def hash_code(code: PythonCode) -> str:
    """SHA-256 of everything that makes a block's code: functions, their names, imports."""
    return hashlib.sha256(json.dumps(code.model_dump(), sort_keys=True).encode()).hexdigest()
