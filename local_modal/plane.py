"""What a control plane consists of, put together once and handed to every family of RPCs."""

import time
from dataclasses import dataclass

from local_modal.credentials import Credentials
from local_modal.images import ImageStore
from local_modal.scheduler.logs import LogWriter
from local_modal.scheduler.scheduler import Scheduler
from local_modal.settings import Settings
from local_modal.store.apps import Apps
from local_modal.store.autoscalers import Autoscalers
from local_modal.store.blobs import Blobs
from local_modal.store.database import Database
from local_modal.store.environments import Environments
from local_modal.store.files import Mounts
from local_modal.store.functions import Functions
from local_modal.store.images import Images
from local_modal.store.logs import Logs
from local_modal.store.principals import ProxyTokens, ServiceUsers
from local_modal.store.secrets import Secrets
from local_modal.web.address import Addresses


@dataclass(frozen=True)
class Plane:
    """Stores, scheduler and builder of one control plane."""

    settings: Settings
    credentials: Credentials
    database: Database
    environments: Environments
    apps: Apps
    functions: Functions
    secrets: Secrets
    autoscalers: Autoscalers
    service_users: ServiceUsers
    proxy_tokens: ProxyTokens
    addresses: Addresses
    mounts: Mounts
    images: Images
    image_store: ImageStore
    blobs: Blobs
    logs: Logs
    log_writer: LogWriter
    scheduler: Scheduler

    def count_unserved(self, method: str) -> None:
        """Remember that a client asked for an RPC that isn't served."""
        self.database.run(
            "INSERT INTO unserved VALUES (?, 1, ?) "
            "ON CONFLICT DO UPDATE SET calls = calls + 1, last_at = excluded.last_at",
            *(method, time.time()),
        )
