"""The places where Modal's own container runtime is steered, each with the reason. No file of modal is changed.

Modal takes a memory snapshot in `maybe_snapshot`, on the main thread, after the imports and `@enter(snap=True)`:
a ContainerCheckpoint call, its connections closed, then `memory_restore` polls for a file that tells the restored
process who it is. Here a fork server stands in for the snapshot, and each fork goes on with the real
`memory_restore`. Found with modal 1.6.4; `check` names what another version lacks.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import json
import os
import socket
import sys
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from . import policy
from .forked import leave, quieten, renew, reseed, revive
from .forkserver import Request
from .jail import Footprint, Jail, enter
from .payload import INLINE_BYTES, Payload

UNSHAREABLE = 77
"""Exit status of a zygote whose snapshot hook reads a class parameter: it can't serve other parameters."""
CHILD_FAILED = 78
"""Exit status of a container that couldn't be set up; the traceback is in its log."""

SEAMS: tuple[tuple[str, str], ...] = (
    ("modal._runtime.user_code_imports", "maybe_snapshot"),
    ("modal._runtime.user_code_imports", "volume_commit"),
    ("modal._runtime.user_code_imports", "get_user_class_instance"),
    ("modal._runtime.user_code_imports", "_LifecycleManager.lifecycle_presnapshot"),
    ("modal._runtime.task_lifecycle_manager", "_TaskLifecycleManager.memory_restore"),
    ("modal._runtime.task_lifecycle_manager", "_TaskLifecycleManager._singleton"),
    ("modal._utils.async_utils", "synchronizer._loop"),
    ("modal._utils.async_utils", "synchronizer._thread"),
    ("modal._utils.async_utils", "synchronizer._owner_pid"),
    ("modal._runtime.container_io_manager", "blob_download"),
    ("modal._runtime.container_io_manager", "format_blob_data"),
    ("modal._serialization", "deserialize_params"),
    ("modal.cls", "_Parameter.__get__"),
    ("modal._partial_function", "_find_partial_methods_for_user_cls"),
    ("grpclib.client", "Channel._create_connection"),
    ("asyncio.selector_events", "BaseSelectorEventLoop._make_self_pipe"),
)


def check() -> None:
    """Raises RuntimeError if the installed modal (or Python) lacks a seam, naming it."""
    for module_name, path in SEAMS:
        found = _module(module_name)
        for name in path.split("."):
            if not hasattr(found, name):
                version = getattr(sys.modules.get("modal"), "__version__", "?")
                raise RuntimeError(
                    f"modal {version} on Python {sys.version.split()[0]} has no {module_name}.{path}: "
                    "local Modal can't run containers with it; install the modal version that local Modal pins"
                )
            found = getattr(found, name)


class Seam:
    """The patches, and the state that they share in one process."""

    def __init__(self, *, hide_params: bool) -> None:
        check()
        self._hide_params = hide_params
        self._connection: int | None = None
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._single_use = False
        self._instance: Any = None
        self._class: Any = None
        self._hidden: set[str] = set()
        self._serve: Callable[[], Request]
        self._make_instance: Callable[..., Any] = lambda *_: None

    def use_connection(self, descriptor: int) -> None:
        """The one connection that this process may make next."""
        self._connection = descriptor

    def install_connection(self) -> None:
        """gRPC speaks over the descriptor that we were given: no socket is created, no path or address is needed."""
        channel_class = _module("grpclib.client").Channel
        seam = self

        async def adopt(channel: Any) -> Any:
            descriptor, seam._connection = seam._connection, None
            if descriptor is None:
                raise ConnectionRefusedError("a container has one connection to the control plane, and it is used up")
            given = socket.socket(fileno=descriptor)
            _, protocol = await channel._loop.create_unix_connection(channel._protocol_factory, sock=given)
            return protocol

        channel_class._create_connection = adopt

    def install_exit(self) -> None:
        """A container leaves once its outputs are acknowledged and its exit hooks have run (`volume_commit` is the
        step after them): finalising the interpreter would copy the shared heap only to free it."""
        imports = _module("modal._runtime.user_code_imports")

        commit = imports.volume_commit

        def commit_and_leave(manager: Any, function_def: Any) -> None:
            commit(manager, function_def)
            if self._single_use and sys.exc_info()[0] is None:
                leave(0)

        imports.volume_commit = commit_and_leave

    def mark_container(self) -> None:
        """From here on this process is a container, which ends after its inputs."""
        self._single_use = True

    def install_snapshot(self, serve: Callable[[], Request], make_jail: Callable[[Footprint], Jail]) -> None:
        """The fork server in place of the snapshot; the class's parameters hidden until a container is assigned."""
        imports = _module("modal._runtime.user_code_imports")

        self._track_loops()
        if self._hide_params:
            self._hide()

        def fork_instead(function_def: Any, snapshot_context: Any, manager: Any) -> None:
            self._fork_instead(function_def, snapshot_context, manager, make_jail)

        imports.maybe_snapshot = fork_instead
        self._serve = serve

    def install_stem(self, branch: Callable[[Request], Callable[[], Request]]) -> None:
        """A fork server before the snapshot hooks run, too: its forks are zygotes, one for each set of parameters.

        `branch` makes a fork a process tree of its own, and gives its own fork server.
        """
        imports = _module("modal._runtime.user_code_imports")
        run_hooks = imports._LifecycleManager.lifecycle_presnapshot

        @contextlib.contextmanager
        def run_hooks_in_branches(service: Any, event_loop: Any, task_lifecycle_manager: Any) -> Iterator[None]:
            self._branch_off(service.function_def, task_lifecycle_manager, branch)
            with run_hooks(service, event_loop, task_lifecycle_manager):
                yield

        imports._LifecycleManager.lifecycle_presnapshot = run_hooks_in_branches

    def _track_loops(self) -> None:
        """Every event loop, since a fork must give each one a selector and a self-pipe of its own."""
        base: Any = asyncio.selector_events.BaseSelectorEventLoop
        made = base.__init__

        def tracked(loop: Any, *args: Any, **kwargs: Any) -> None:
            made(loop, *args, **kwargs)
            self._loops.add(loop)

        base.__init__ = tracked

    def _hide(self) -> None:
        """The snapshot phase runs before anyone knows whose parameters they'll be: reading one ends the zygote."""
        imports = _module("modal._runtime.user_code_imports")
        parameter_class = _module("modal.cls")._Parameter
        make_instance = imports.get_user_class_instance
        read = parameter_class.__get__

        def make_hidden(user_class: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            instance = make_instance(user_class, args, kwargs)
            self._instance, self._class, self._hidden = instance, user_class, set(kwargs)
            for name in kwargs:
                instance.__dict__.pop(name, None)
            return instance

        def read_traced(parameter: Any, instance: Any, owner: Any = None) -> Any:
            if instance is not None and self._hidden and parameter.init and instance is self._instance:
                sys.stderr.write(
                    "local Modal: a snapshot hook (@enter(snap=True)) reads a class parameter, "
                    "so this class gets one snapshot per set of parameters\n"
                )
                leave(UNSHAREABLE)
            return read(parameter, instance, owner)

        self._make_instance = make_instance
        imports.get_user_class_instance = make_hidden
        parameter_class.__get__ = read_traced

    def _fork_instead(
        self,
        function_def: Any,
        snapshot_context: Any,
        manager: Any,
        make_jail: Callable[[Footprint], Jail],
    ) -> None:
        synchronizer = _module("modal._utils.async_utils").synchronizer
        if _has_endpoints(function_def):
            _module("modal._runtime.asgi")  # imported for the first request otherwise, by every container anew
        with snapshot_context:
            self._snapshot_only(manager)
            loop = synchronizer._loop
            try:
                quieten(loop)
                jail = make_jail(Footprint.of_this_process())
                request = self._serve()
                # Only children come here. The loop's thread is gone and the loop looks as if it ran: an exception must
                # not reach the context manager, which would wait for that loop forever.
                self.mark_container()
                self._set_up(request, lambda keep: enter(jail, keep))
                revive(loop)
                manager.memory_restore()
                self._clean_environment()
                if self._has_hooks_left() or (self._hidden and _has_endpoints(function_def)):
                    self._take_assignment(request, function_def)
                else:
                    self._take_assignment_with_input(request, function_def)
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
                leave(CHILD_FAILED)

    def _snapshot_only(self, manager: Any) -> None:
        """Modal's snapshot without the restore that follows it: that is for the forks."""
        lifecycle = _lifecycle()

        async def wait_for_no_restore(_: Any) -> None: ...

        restore = lifecycle.memory_restore
        lifecycle.memory_restore = wait_for_no_restore
        try:
            manager.memory_snapshot()
        finally:
            lifecycle.memory_restore = restore

    def _branch_off(self, function_def: Any, manager: Any, branch: Callable[[Request], Callable[[], Request]]) -> None:
        """As a snapshot that is taken before the hooks: who is forked knows its parameters, and runs them.

        Modal sends no heartbeats before its own snapshot point, so no call is under way.
        """
        loop = _module("modal._utils.async_utils").synchronizer._loop
        self._snapshot_only(manager)
        try:
            quieten(loop)
            request = self._serve()

            def become_zygote(_: set[int]) -> None:
                self._serve = branch(request)

            self._set_up(request, become_zygote)
            revive(loop)
            manager.memory_restore()
            os.unlink(os.environ.pop("MODAL_RESTORE_STATE_PATH"))
            self._take_assignment(request, function_def)
        except BaseException:  # noqa: BLE001 - as in _fork_instead
            traceback.print_exc()
            leave(CHILD_FAILED)

    def _set_up(self, request: Request, become: Callable[[set[int]], None]) -> None:
        """`become`: enters what this process is to live in, with descriptors to keep."""
        os.dup2(request.stdout, 1)
        os.dup2(request.stderr, 2)
        keep = {request.connection, request.assign}
        for loop in list(self._loops):
            if not loop.is_closed():
                keep |= renew(loop)
        if request.payload is not None:
            keep.add(request.payload)
            _use_payload(Payload(request.payload))
        become(keep)
        reseed()
        self.use_connection(request.connection)
        path = os.path.join(policy.SCRATCH, ".restore-state.json")
        with open(path, "w") as file:
            json.dump(request.state, file)
        os.environ["MODAL_RESTORE_STATE_PATH"] = path

    def _clean_environment(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(os.environ["MODAL_RESTORE_STATE_PATH"])
        for name in policy.SCRUBBED:
            os.environ.pop(name, None)

    def _has_hooks_left(self) -> bool:
        """Whether code of the class, `@enter(snap=False)`, runs before the first input and may read parameters."""
        if self._class is None:
            return False
        partial = _module("modal._partial_function")
        hooks = partial._find_partial_methods_for_user_cls(
            self._class, partial._PartialFunctionFlags.ENTER_POST_SNAPSHOT
        )
        return bool(hooks)

    def _take_assignment_with_input(self, request: Request, function_def: Any) -> None:
        """Goes on to wait for an input, and takes the assignment, which is sent before it, when one has come: what is
        done until then needs no parameters and is not in the caller's way."""
        stub = _lifecycle()._singleton._client._stub
        get_inputs = stub.FunctionGetInputs

        async def get_inputs_assigned(*args: Any, **kwargs: Any) -> Any:
            response = await get_inputs(*args, **kwargs)
            if any(item.input_id for item in response.inputs):
                stub.FunctionGetInputs = get_inputs
                self._take_assignment(request, function_def)
            return response

        stub.FunctionGetInputs = get_inputs_assigned

    def _take_assignment(self, request: Request, function_def: Any) -> None:
        """Waits to be told whose container this is; then the class has its parameters."""
        with open(request.assign, "rb") as pipe:
            raw = pipe.read()
        if not raw:
            leave(0)
        assignment = json.loads(raw)
        _lifecycle()._singleton.function_id = assignment["function_id"]
        if not self._hidden:
            return
        deserialize = _module("modal._serialization").deserialize_params
        _, parameters = deserialize(base64.b64decode(assignment["params"]), function_def, None)
        self._hidden = set()
        bound = self._make_instance(self._class, (), parameters)
        self._instance.__dict__.update({name: bound.__dict__[name] for name in [*parameters, "_modal_functions"]})


def _module(name: str) -> Any:
    """A module of what is installed in the image, whatever its version: `check` has found what is used of it."""
    return importlib.import_module(name)


def _use_payload(payload: Payload) -> None:
    """Where the container would fetch or store a blob, which it has no network for, it uses the memory that it shares
    with the control plane."""
    manager = _module("modal._runtime.container_io_manager")

    async def take(reference: str, _stub: Any) -> bytes:
        return payload.take(reference, sys.maxsize)

    async def put(data: bytes, _stub: Any, *_limit: int) -> dict[str, Any]:
        if len(data) > INLINE_BYTES:
            with contextlib.suppress(OSError):
                return {"data_blob_id": payload.put(data)}
        return {"data": data}

    manager.blob_download, manager.format_blob_data = take, put


def _has_endpoints(function_def: Any) -> bool:
    """Whether it serves web endpoints, whose applications are made before the first input and may read parameters."""
    configs = [function_def, *function_def.method_definitions.values()]
    return any(config.webhook_config.type for config in configs)


def _lifecycle() -> Any:
    return _module("modal._runtime.task_lifecycle_manager")._TaskLifecycleManager
