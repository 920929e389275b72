"""What is kept and for how long: what no deployment needs any more is collected, so that no store grows without end."""

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from modal_proto import api_pb2

from local_modal.images import ImageStore
from local_modal.images.files import measure, megabytes
from local_modal.settings import MIB, Settings
from local_modal.store.apps import Apps
from local_modal.store.database import Database
from local_modal.store.files import Mounts
from local_modal.store.functions import Functions
from local_modal.store.images import Images

DAY = 86400.0
"""Also how often a running control plane collects (s)."""


@dataclass(frozen=True)
class Retention:
    """What of `Settings` a collection goes by: each is explained there, as `keep_…`."""

    days: int
    versions: int
    log_mib: int

    @classmethod
    def of(cls, settings: Settings) -> "Retention":
        """As they are set."""
        return cls(settings.keep_days, settings.keep_versions, settings.keep_log_mib)

    @property
    def before(self) -> float:
        """What was last used before this may go (s since the epoch)."""
        return time.time() - self.days * DAY


@dataclass
class Freed:
    """What a collection removed: counts by kind, and bytes of files."""

    counts: dict[str, int] = field(default_factory=dict)
    size: int = 0

    def add(self, kind: str, count: int) -> None:
        """So many more of a kind."""
        if count:
            self.counts[kind] = self.counts.get(kind, 0) + count

    def __str__(self) -> str:
        """For people: ``3 apps, 12 files; 40 MB``."""
        if not self.counts:
            return "nothing"
        return ", ".join(f"{count} {kind}" for kind, count in self.counts.items()) + f"; {megabytes(self.size)}"


@dataclass(frozen=True)
class Needed:
    """What the definitions of the deployments that are kept refer to, by id."""

    mounts: frozenset[str]
    layouts: frozenset[tuple[str, ...]]
    images: frozenset[str]
    secrets: frozenset[str]
    unneeded: tuple[Path, ...] = ()
    """Uploaded files and laid out mounts that may go."""


class Collector:
    """Goes through one store and the images of this machine: first `rows`, then `files`."""

    def __init__(self, database: Database, home: Path, image_store: ImageStore, retention: Retention) -> None:
        self._database = database
        self._apps = Apps(database)
        self._functions = Functions(database)
        self._images = Images(database)
        self._mounts = Mounts(database, home)
        self._home = home
        self._image_store = image_store
        self._retention = retention

    def rows(self, freed: Freed) -> Needed:
        """Rows of the store, in one transaction; returns what is still needed of everything else."""
        before = self._retention.before
        with self._database.transaction():
            self._delete_apps(freed, before)
            self._delete_definitions(freed, before)
            freed.add("log lines", self._database.delete("DELETE FROM logs WHERE timestamp < ?", before))
            needed = self._needed()
            self._delete_unneeded("images", "image_id", needed.images, freed, before)
            needed = self._needed()
            self._delete_unneeded("mounts", "mount_id", needed.mounts, freed, before)
            self._delete_unneeded_secrets(needed.secrets, freed, before)
        return replace(needed, unneeded=tuple(self._mounts.unneeded(needed.layouts, before)))

    def files(self, needed: Needed, freed: Freed) -> None:
        """Files: uploads, laid out mounts, images, the log; from any thread. Needed images count as used now."""
        before = self._retention.before
        for path in needed.unneeded:
            freed.add("laid out mounts" if path.is_dir() else "uploaded files", 1)
            freed.size += measure(path).own if path.is_dir() else path.stat().st_size
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for image_id in needed.images:
            if built := self._image_store.get(image_id):
                self._image_store.use(built)
        unneeded = self._image_store.unneeded(needed.images, before)
        freed.size += measure(*unneeded).own
        freed.add("images and clients", len(self._image_store.prune(needed.images, before)))
        freed.size += shorten(self._home / "control-plane.log", self._retention.log_mib * MIB)

    def _delete_apps(self, freed: Freed, before: float) -> None:
        stopped = "SELECT app_id FROM apps WHERE state = ? AND stopped_at < ?"
        values = (api_pb2.APP_STATE_STOPPED, before)
        for table in ("deployments", "functions", "logs"):
            self._database.run(f"DELETE FROM {table} WHERE app_id IN ({stopped})", *values)  # noqa: S608 - our own
        freed.add("stopped apps", self._database.delete("DELETE FROM apps WHERE state = ? AND stopped_at < ?", *values))
        live = "SELECT version FROM apps WHERE apps.app_id = deployments.app_id"
        statement = f"DELETE FROM deployments WHERE version <= ({live}) - ?"  # noqa: S608 - our own
        freed.add("deployments", self._database.delete(statement, self._retention.versions))

    def _delete_definitions(self, freed: Freed, before: float) -> None:
        layouts = [deployment.layout for deployment in self._apps.deployments()]
        definitions = {definition_id for layout in layouts for definition_id in layout.definitions.values()}
        functions = {function_id for layout in layouts for function_id in layout.functions.values()}
        self._delete_unneeded("definitions", "definition_id", definitions, freed, before)
        functions |= {row["function_id"] for row in self._database.all("SELECT function_id FROM definitions")}
        self._delete_unneeded("functions", "function_id", functions, freed, before)
        orphan = "function_id NOT IN (SELECT function_id FROM functions)"
        freed.add("definitions", self._database.delete(f"DELETE FROM definitions WHERE {orphan}"))  # noqa: S608
        unused = "used_at < ? AND bound_id NOT IN (SELECT function_id FROM autoscalers)"
        freed.add(
            "instances",
            self._database.delete(f"DELETE FROM bound_functions WHERE {orphan} OR ({unused})", before),  # noqa: S608
        )
        self._database.run(
            f"DELETE FROM autoscalers WHERE {orphan} AND function_id NOT IN (SELECT bound_id FROM bound_functions)"  # noqa: S608
        )

    def _needed(self) -> Needed:
        rows = self._database.all("SELECT definition FROM definitions")
        functions = [api_pb2.Function.FromString(row["definition"]) for row in rows]
        images = self._with_parents({*(function.image_id for function in functions), *self._images.all_tagged()})
        stored = [image for image_id in images if (image := self._images.get(image_id))]
        dependencies = {entry.object_id for function in functions for entry in function.object_dependencies}
        layouts = {tuple(sorted(function.mount_ids)) for function in functions}
        layouts |= {(image.context_mount,) for image in stored if image.context_mount}
        return Needed(
            mounts=frozenset(dependencies | {mount_id for mount_ids in layouts for mount_id in mount_ids}),
            layouts=frozenset(layouts),
            images=frozenset(images),
            secrets=frozenset(
                dependencies
                | {secret_id for function in functions for secret_id in function.secret_ids}
                | {secret_id for image in stored for secret_id in image.image.secret_ids}
            ),
        )

    def _with_parents(self, image_ids: set[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(image_ids)
        while waiting:
            image_id = waiting.pop()
            if image_id in found:
                continue
            found.add(image_id)
            if stored := self._images.get(image_id):
                waiting += [base.image_id for base in stored.image.base_images]
        return found

    def _delete_unneeded(self, table: str, key: str, needed: Iterable[str], freed: Freed, before: float) -> None:
        kept = set(needed)
        rows = self._database.all(f"SELECT {key} FROM {table} WHERE used_at < ?", before)  # noqa: S608 - our own names
        kind = "image definitions" if table == "images" else table
        for row in rows:
            if row[key] not in kept:
                freed.add(kind, self._database.delete(f"DELETE FROM {table} WHERE {key} = ?", row[key]))  # noqa: S608

    def _delete_unneeded_secrets(self, needed: frozenset[str], freed: Freed, before: float) -> None:
        """Those without a name: they belong to a definition."""
        unnamed = "name = secret_id AND max(created_at, last_used_at) < ?"
        for row in self._database.all(f"SELECT secret_id FROM secrets WHERE {unnamed}", before):  # noqa: S608
            if row["secret_id"] not in needed:
                freed.add("secrets", self._database.delete("DELETE FROM secrets WHERE secret_id = ?", row["secret_id"]))


def shorten(path: Path, most: int) -> int:
    """Leave the end of a log that is appended to, whole lines; returns how many bytes went."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    if size <= most:
        return 0
    with path.open("rb+") as file:
        file.seek(size - most // 2)
        end = file.read().partition(b"\n")[2]
        file.seek(0)
        file.truncate()
        file.write(end)
    return size - len(end)
