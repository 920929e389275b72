"""The server's own connection to Modal: a client per process, gated, with the app's class looked up through it."""

import importlib.metadata
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from roboflow_workflows.environment import MODAL_TOKEN_ID, MODAL_TOKEN_SECRET
from roboflow_workflows.errors import DynamicBlockError

from modal_app.settings import APP_NAME, EXECUTOR_CLASS, MODAL_VERSION

if TYPE_CHECKING:
    import modal

    from modal_app.gate import CallRecord

WORKSPACE_VARIABLE = "MODAL_WORKSPACE_NAME"
MAX_EXECUTORS = 1024


@dataclass
class Connection:
    """An open client and the executors looked up through it. Safe to use from any thread of its process."""

    client: "modal.Client"
    pid: int = field(default_factory=os.getpid)
    workspace_checked: bool = False
    _executors: OrderedDict[str, Any] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def remote(self, method: str, workspace_id: str, request: dict[str, Any], record: "CallRecord") -> bytes:
        """Calls a method of the deployed class for one workspace; gives the sealed answer (see the gate).

        A class that isn't there any more is looked up once more: the app may have been deployed anew under another id.
        """
        from modal.exception import NotFoundError  # noqa: PLC0415 - a server without modal imports this module

        try:
            return getattr(self._executor(workspace_id), method).remote(request)  # type: ignore[no-any-return]
        except NotFoundError:
            if record.started:
                raise
        with self._lock:
            self._executors.pop(workspace_id, None)
        return getattr(self._executor(workspace_id), method).remote(request)  # type: ignore[no-any-return]

    def _executor(self, workspace_id: str) -> Any:
        import modal  # noqa: PLC0415 - as above

        with self._lock:
            if workspace_id not in self._executors:
                deployed = modal.Cls.from_name(APP_NAME, EXECUTOR_CLASS, client=self.client)
                self._executors[workspace_id] = deployed(workspace_id=workspace_id)
                if len(self._executors) > MAX_EXECUTORS:
                    self._executors.popitem(last=False)
            self._executors.move_to_end(workspace_id)
            return self._executors[workspace_id]

    def check_workspace(self) -> None:
        """Checks, once, that the token belongs to the workspace that MODAL_WORKSPACE_NAME names, if it is set.

        Raises:
            DynamicBlockError: it belongs to another one.
        """
        expected = os.environ.get(WORKSPACE_VARIABLE, "").strip("\"'")
        if self.workspace_checked or not expected:
            return
        from modal_app.gate import token_workspace  # noqa: PLC0415 - imports modal

        actual = token_workspace(self.client)
        if actual != expected:
            raise DynamicBlockError(
                public_message=f"MODAL_TOKEN_ID belongs to the Modal workspace {actual!r}, but "
                f"{WORKSPACE_VARIABLE} says {expected!r}: correct one of the two.",
                context="modal_executor | workspace_check",
            )
        self.workspace_checked = True


_current: Connection | None = None
_guard = threading.Lock()


def open_connection() -> Connection:
    """The connection of this process, opened at first use. A forked process opens its own.

    To be called with modal there (`check_installation`) and within the limits of a call. Threads that come first at the
    same time each try, so that none waits for another's attempt to fail; one connection stays.

    Raises:
        DynamicBlockError: there are no credentials.
    """
    with _guard:
        known = _current
    if known is not None:
        return known
    opened = _open()
    kept = _keep_first(opened)
    if kept is not opened:
        opened.client.close()
    return kept


def _keep_first(opened: Connection) -> Connection:
    global _current  # noqa: PLW0603 - one per process is the point
    with _guard:
        if _current is None:
            _current = opened
        return _current


def close() -> None:
    """Closes the connection of this process, if there is one; the next call opens another."""
    global _current
    with _guard:
        leaving, _current = _current, None
    if leaving is not None:
        leaving.client.close()


@cache
def check_installation() -> None:
    """Checks that Modal's client is there, in the version that the gate is made for: another may have other ways in.

    Raises:
        DynamicBlockError: it isn't; then it is looked for again at the next call.
    """
    try:
        version = importlib.metadata.version("modal")
    except importlib.metadata.PackageNotFoundError:
        version = None
    if version != MODAL_VERSION:
        state = "isn't installed" if version is None else f"is installed in version {version}"
        raise DynamicBlockError(
            public_message=f"Custom Python blocks run on Modal, and its client {state} here: run "
            f"`pip install modal=={MODAL_VERSION}` and restart the server.",
            context="modal_executor | modal_installation",
        )


def _open() -> Connection:
    missing = [
        name
        for name, value in (("MODAL_TOKEN_ID", MODAL_TOKEN_ID), ("MODAL_TOKEN_SECRET", MODAL_TOKEN_SECRET))
        if not value
    ]
    if missing:
        raise DynamicBlockError(
            public_message=f"Custom Python blocks run on Modal, and this server has no credentials for it: set "
            f"{' and '.join(missing)}.",
            context="modal_executor | credentials_check",
        )
    from modal_app.gate import open_client  # noqa: PLC0415 - imports modal, which is there by now

    return Connection(open_client(MODAL_TOKEN_ID, MODAL_TOKEN_SECRET))


def _after_fork() -> None:
    global _current, _guard
    _current, _guard = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
