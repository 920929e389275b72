"""Images as they were asked for: what builds them again after their environment was pruned."""

import time
from dataclasses import dataclass

from modal_proto import api_pb2

from local_modal.store.database import Database


@dataclass(frozen=True)
class StoredImage:
    """An image's definition, the builder version it was asked for with, and the mount of its context files."""

    image_id: str
    image: api_pb2.Image
    builder_version: str
    context_mount: str


class Images:
    """By id; an image's id is derived from its definition."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, stored: StoredImage) -> None:
        """Keep it."""
        self._database.run(
            "INSERT INTO images VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET used_at = excluded.used_at",
            stored.image_id,
            stored.image.SerializeToString(deterministic=True),
            stored.builder_version,
            stored.context_mount,
            time.time(),
        )

    def publish(self, environment: str, tag: str, image_id: str) -> None:
        """Let a name stand for an image in an environment, in place of what it stood for."""
        row = (environment, tag, image_id, time.time())
        self._database.run("INSERT OR REPLACE INTO image_tags VALUES (?, ?, ?, ?)", *row)

    def unpublish(self, environment: str, tag: str) -> None:
        """Let a name stand for nothing; the image stays."""
        self._database.run("DELETE FROM image_tags WHERE environment = ? AND tag = ?", environment, tag)

    def tagged(self, environment: str, tag: str) -> str | None:
        """The image that a name stands for."""
        row = self._database.one("SELECT image_id FROM image_tags WHERE environment = ? AND tag = ?", environment, tag)
        return str(row["image_id"]) if row else None

    def all_tagged(self) -> set[str]:
        """Ids of the images that names stand for, in any environment."""
        return {row["image_id"] for row in self._database.all("SELECT image_id FROM image_tags")}

    def get(self, image_id: str) -> StoredImage | None:
        """The image of that id."""
        row = self._database.one("SELECT * FROM images WHERE image_id = ?", image_id)
        if row is None:
            return None
        image = api_pb2.Image.FromString(row["image"])
        return StoredImage(image_id, image, row["builder_version"], row["context_mount"])
