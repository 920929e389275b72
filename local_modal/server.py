"""The control plane put together: stores, scheduler, RPC families, and the one port on which all of it is served."""

import asyncio
import contextvars
import logging
import os
import shutil
import socket
import sqlite3
import sys
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web
from grpclib import GRPCError, Status
from grpclib.protocol import H2Protocol

from local_modal.credentials import Credentials
from local_modal.errors import LocalModalError
from local_modal.images import ImageStore
from local_modal.plane import Plane
from local_modal.rpc import (
    apps,
    autoscaling,
    calls,
    containers,
    environments,
    functions,
    logs,
    objects,
    principals,
    secrets,
    workspace,
)
from local_modal.rpc.access import ROLES, Level
from local_modal.rpc.clients import ensure_served
from local_modal.rpc.service import Service
from local_modal.rpc.transport import CALLER, CHECK, FRAMING_BYTES, Account, Check, Method, Transport, handlers
from local_modal.runtime.policy import Policy
from local_modal.scheduler.calls import Calls
from local_modal.scheduler.launch import Launch
from local_modal.scheduler.logs import LogWriter
from local_modal.scheduler.scheduler import Scheduler
from local_modal.settings import CLIENT_VERSION, MIB, Settings
from local_modal.store.apps import Apps
from local_modal.store.autoscalers import Autoscalers
from local_modal.store.blobs import Blobs
from local_modal.store.calls import CallStore
from local_modal.store.database import Database
from local_modal.store.environments import Environments
from local_modal.store.files import Mounts
from local_modal.store.functions import Functions
from local_modal.store.images import Images
from local_modal.store.logs import Logs
from local_modal.store.principals import ProxyTokens, ServiceUser, ServiceUsers
from local_modal.store.retention import DAY, Collector, Freed, Retention
from local_modal.store.secrets import Secrets
from local_modal.strangers import Strangers
from local_modal.web.address import Addresses
from local_modal.web.http import http_application

log = logging.getLogger(__name__)
STORE_FILE = "store.sqlite3"
HTTP2_PREFACE = b"PRI"
FAMILIES = (
    autoscaling.AutoscalingService,
    calls.CallService,
    containers.ContainerService,
    environments.EnvironmentService,
    functions.FunctionService,
    logs.LogService,
    objects.BlobService,
    objects.MountService,
    principals.ProxyTokenService,
    principals.ServiceUserService,
    secrets.SecretService,
    workspace.WorkspaceService,
)


def served_methods(services: Sequence[Service]) -> dict[str, Method]:
    """RPC name → method, from the names of the services' public methods."""
    return {
        name: getattr(service, name)
        for service in services
        for name in dir(type(service))
        if name[0].isupper() and callable(getattr(service, name))
    }


class ControlPlane:
    """One running local Modal."""

    def __init__(self, settings: Settings, policy: Policy) -> None:
        """Take the port, open the store and make the families of RPCs.

        Raises:
            LocalModalError: the port is taken, a store or credentials that can't be used, or no uv.
        """
        self._socket = listening_socket(settings)
        settings = replace(settings, port=self._socket.getsockname()[1])
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        run_dir = settings.home / "run"
        shutil.rmtree(run_dir, ignore_errors=True)
        run_dir.mkdir(mode=0o711)
        database = Database(settings.home / STORE_FILE)
        credentials = Credentials.load(settings.home)
        log_store = Logs(database, settings.log_rows)
        log_writer = LogWriter(log_store)
        autoscalers = Autoscalers(database)
        retention, function_store = Retention.of(settings), Functions(database)
        known_calls = Calls(
            settings.result_ttl, CallStore(database), function_store.resolve, settings.keep_results_mib * MIB
        )
        blob_limits = settings.max_input_bytes, settings.blob_ttl, settings.max_blobs_mib * MIB
        blobs = Blobs(settings.home / "blobs", *blob_limits)
        app_store, environment_store = Apps(database), Environments(database)
        self.plane = Plane(
            settings=settings,
            credentials=credentials,
            database=database,
            environments=environment_store,
            apps=app_store,
            functions=function_store,
            secrets=Secrets(database, credentials.store_key),
            autoscalers=autoscalers,
            service_users=ServiceUsers(database),
            proxy_tokens=ProxyTokens(database),
            addresses=Addresses(settings.workspace, app_store, function_store, environment_store),
            mounts=Mounts(database, settings.home),
            images=Images(database),
            image_store=image_store(settings),
            blobs=blobs,
            logs=log_store,
            log_writer=log_writer,
            scheduler=Scheduler(settings, known_calls, blobs, log_writer, run_dir, autoscalers),
        )
        if self.plane.environments.get(settings.environment) is None:
            self.plane.environments.create(settings.environment)
        self.plane.apps.stop_left_over()
        images = objects.ImageService(self.plane)
        apps_service = apps.AppService(self.plane)
        self._apps = apps_service
        self.services: list[Service] = [apps_service, *(family(self.plane) for family in FAMILIES), images]
        self._table = handlers(served_methods(self.services), self.plane.count_unserved)
        self._strangers = Strangers()
        self._transport = Transport(self._table, self._authenticate, self._strangers)
        launch = Launch(
            settings,
            policy,
            self.plane.mounts,
            self.plane.secrets,
            lambda image_id: images.environment_of(image_id, log.info),
            apps_service.layout_of,
        )
        self.plane.scheduler.connect(self._transport.for_task, launch.spec)
        self._collector = Collector(database, settings.home, self.plane.image_store, retention)
        self._collecting: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._connections: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._runner = web.AppRunner(
            http_application(self.plane, self._strangers),
            access_log=None,
            handler_cancellation=True,
            auto_decompress=False,
            max_line_size=settings.web_line_bytes,
            max_field_size=settings.web_line_bytes,
            keepalive_timeout=settings.web_idle,
        )

    async def start(self) -> None:
        """Serve."""
        await self._runner.setup()
        http = self._runner.server
        assert http is not None  # noqa: S101 - set up above
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: FirstBytes(self._transport, http, self._connections, self._strangers), sock=self._socket
        )
        self._collecting = asyncio.create_task(self._collect())
        contextvars.copy_context().run(self._start_ahead)

    async def stop(self) -> None:
        """End every container, close everything."""
        if self._server is not None:
            self._server.close()
        if self._collecting is not None:
            self._collecting.cancel()
            await asyncio.gather(self._collecting, return_exceptions=True)
        await self.plane.scheduler.close()
        for connection in list(self._connections):
            connection.abort()
        await self._runner.cleanup()
        self.plane.log_writer.flush()
        self.plane.database.close()

    async def _collect(self) -> None:
        """What `local-modal prune` does, now and daily."""
        while True:
            freed = Freed()
            try:
                needed = self._collector.rows(freed)
                await asyncio.to_thread(self._collector.files, needed, freed)
            except (OSError, sqlite3.Error):
                log.exception("what is no longer needed could not be collected")
            if freed.counts:
                log.info("freed: %s", freed)
            await asyncio.sleep(DAY)

    def _start_ahead(self) -> None:
        CALLER.set(Account(self.plane.credentials.token_id, CLIENT_VERSION, 0))
        CHECK.set(Check(Level.OWNER))
        self._apps.start_ahead()

    def _authenticate(self, metadata: Any) -> Account:
        token_id, secret, version = (
            str(metadata.get(f"x-modal-{name}", "")) for name in ("token-id", "token-secret", "client-version")
        )
        limit = self.plane.settings.max_input_bytes + FRAMING_BYTES
        if self.plane.credentials.accepts(token_id, secret):
            ensure_served(version)
            return Account(token_id, version, limit)
        if user := self.plane.service_users.authenticate(token_id, secret):
            ensure_served(version)
            return Account(token_id, version, limit, user, self._levels(user))
        raise GRPCError(
            Status.UNAUTHENTICATED,
            "The token is not this local Modal's, or has expired: `local-modal env` prints the owner's.",
        )

    def _levels(self, user: ServiceUser) -> dict[str, Level]:
        """Environment name → what the service user may do there."""
        roles = self.plane.service_users.roles(user.service_user_id)
        environments = {environment.environment_id: environment.name for environment in self.plane.environments.all()}
        return {environments[environment_id]: ROLES[role] for environment_id, role in roles.items()}


class FirstBytes(asyncio.Protocol):
    """gRPC and HTTP/1.1 on one port, told apart by HTTP/2's preface."""

    def __init__(
        self,
        transport: Transport,
        http: web.Server,
        connections: weakref.WeakSet[asyncio.Transport],
        strangers: Strangers,
    ) -> None:
        self._grpc = transport
        self._connections = connections
        self._strangers = strangers
        self._http = http
        self._connection: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream server's
        self._connection = transport
        self._connections.add(transport)
        self._strangers.meet(transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Choose a protocol and hand the connection over."""
        self._received += data
        if len(self._received) < len(HTTP2_PREFACE) or self._connection is None:
            return
        is_grpc = self._received.startswith(HTTP2_PREFACE)
        protocol: H2Protocol | asyncio.Protocol = self._grpc.for_account() if is_grpc else self._http()
        self._connection.set_protocol(protocol)
        protocol.connection_made(self._connection)
        protocol.data_received(self._received)


def listening_socket(settings: Settings) -> socket.socket:
    """The one socket; port 0 draws a free one.

    Raises:
        LocalModalError: it can't be had.
    """
    try:
        return socket.create_server((settings.bind, settings.port), backlog=512)
    except OSError as error:
        raise LocalModalError(
            f"{settings.bind}:{settings.port} can't be used ({(error.strerror or '').partition(' (')[0]}): "
            "stop what listens there, or choose another with --port or LOCAL_MODAL_PORT."
        ) from error


def image_store(settings: Settings) -> ImageStore:
    """The images of this machine.

    Raises:
        LocalModalError: there is no uv.
    """
    return ImageStore(
        settings.cache,
        client_version=CLIENT_VERSION,
        uv=find_uv(),
        provided_packages=settings.provided_packages,
        command_seconds=settings.build_timeout,
    )


def collector(settings: Settings, database: Database, retention: Retention) -> Collector:
    """Of one store and the images of this machine; raises what `image_store` raises."""
    return Collector(database, settings.home, image_store(settings), retention)


def find_uv() -> Path:
    """The uv beside this Python, else the one on PATH.

    Raises:
        LocalModalError: there is none.
    """
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    if found is None:
        raise LocalModalError("uv is not installed: `pip install uv` in this environment.")
    return Path(found)
