"""What a deployment uploads: files in mounts, blobs, images and their build logs."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import google.protobuf.empty_pb2
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from local_modal.errors import LocalModalError
from local_modal.ids import new_id
from local_modal.images import Environment
from local_modal.plane import Plane
from local_modal.rpc.service import IMAGE_BUILDER_VERSION, Service, not_found
from local_modal.store.images import StoredImage

Empty = google.protobuf.empty_pb2.Empty
Result = api_pb2.GenericResult
CLIENT_MOUNT = "modal-client-"
"""Mounts of the client's own sources and dependencies: containers have them from the client overlay."""


class MountService(Service):
    """Files, content-addressed."""

    async def MountBatchedCheckExistence(
        self, request: api_pb2.MountBatchedCheckExistenceRequest
    ) -> api_pb2.MountBatchedCheckExistenceResponse:
        missing = [sha256 for sha256 in request.sha256_hex_hashes if not self.plane.mounts.has(sha256)]
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing)

    async def MountPutFile(self, request: api_pb2.MountPutFileRequest) -> api_pb2.MountPutFileResponse:
        if request.WhichOneof("data_oneof") is None:
            return api_pb2.MountPutFileResponse(exists=self.plane.mounts.has(request.sha256_hex))
        data: bytes | None = request.data
        if request.data_blob_id:
            data = await self.plane.blobs.read(request.data_blob_id)
        if data is None:
            not_found(f"Blob '{request.data_blob_id}' was not uploaded.")
        self.plane.mounts.put(request.sha256_hex, data)
        return api_pb2.MountPutFileResponse(exists=True)

    async def MountGetOrCreate(self, request: api_pb2.MountGetOrCreateRequest) -> api_pb2.MountGetOrCreateResponse:
        if request.deployment_name and not request.deployment_name.startswith(CLIENT_MOUNT):
            raise GRPCError(Status.UNIMPLEMENTED, f"local Modal serves no named mounts ('{request.deployment_name}')")
        mount_id = self.plane.mounts.create([] if request.deployment_name else list(request.files))
        metadata = api_pb2.MountHandleMetadata(content_checksum_sha256_hex=self.plane.mounts.checksum(mount_id))
        return api_pb2.MountGetOrCreateResponse(mount_id=mount_id, handle_metadata=metadata)


class BlobService(Service):
    """Addresses for large arguments; the bytes go over plain HTTP."""

    async def BlobCreate(self, request: api_pb2.BlobCreateRequest) -> api_pb2.BlobCreateResponse:
        blob_id, key = self.plane.blobs.reserve(request.content_length)
        urls = api_pb2.UploadUrlList(items=[await in_numbers(self._url(blob_id, key))])
        return api_pb2.BlobCreateResponse(blob_id=blob_id, blob_ids=[blob_id], upload_urls=urls)

    async def BlobGet(self, request: api_pb2.BlobGetRequest) -> api_pb2.BlobGetResponse:
        key = self.plane.blobs.key(request.blob_id)
        if key is None:
            not_found(f"Blob '{request.blob_id}' not found.")
        return api_pb2.BlobGetResponse(download_url=self._url(request.blob_id, key))

    def _url(self, blob_id: str, key: str) -> str:
        return f"{self.base_url}/blobs/{blob_id}/{key}"


async def in_numbers(url: str) -> str:
    """The same with the host's address for its name: modal's client takes no other name than localhost to upload to.

    Source: `use_md5` in modal's `_utils/blob_utils.py`. A name that isn't known here stays.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname in {None, "localhost"}:
        return url
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, parts.port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        return url
    address = str(found[0][4][0])
    return parts._replace(netloc=f"{address}:{parts.port}" if parts.port else address).geturl()


@dataclass(eq=False)
class Build:
    """An image build under way or ended; whoever joins gets its log from the start."""

    lines: list[str] = field(default_factory=list)
    result: api_pb2.GenericResult | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    job: "asyncio.Task[None] | None" = None

    def tell(self) -> None:
        """Wake who waits."""
        self.changed.set()
        self.changed = asyncio.Event()


class ImageService(Service):
    """Images: built at the first request for them, joined by whoever waits."""

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        self._builds: dict[str, Build] = {}

    async def ImageGetOrCreate(self, request: api_pb2.ImageGetOrCreateRequest) -> api_pb2.ImageGetOrCreateResponse:
        if request.app_id:
            self.app(request.app_id)
        version = request.builder_version or IMAGE_BUILDER_VERSION
        image_id = self.plane.image_store.image_id(request.image, version)
        self.plane.images.put(StoredImage(image_id, request.image, version, request.image.context_mount_id))
        force = request.force_build or request.ignore_cache
        if not force and self.plane.image_store.get(image_id) is not None:
            return api_pb2.ImageGetOrCreateResponse(image_id=image_id, result=_SUCCESS, metadata=_METADATA)
        build = self._builds.get(image_id)
        if build is None or build.result is not None:
            self._builds[image_id] = build = Build()
            build.job = asyncio.create_task(self._build(image_id, build, force=force))
        return api_pb2.ImageGetOrCreateResponse(image_id=image_id)

    async def ImageFromId(self, request: api_pb2.ImageFromIdRequest) -> api_pb2.ImageFromIdResponse:
        if self.plane.images.get(request.image_id) is None:
            not_found(f"Image '{request.image_id}' not found.")
        return api_pb2.ImageFromIdResponse(image_id=request.image_id, metadata=_METADATA)

    async def ImagePublish(self, request: api_pb2.ImagePublishRequest) -> api_pb2.ImagePublishResponse:
        environment, tag = self._tag(request.tag, request.environment_name)
        if self.plane.image_store.get(request.image_id) is None:
            not_found(f"Image '{request.image_id}' is not built here.")
        self.plane.images.publish(environment, tag, request.image_id)
        return api_pb2.ImagePublishResponse(image_id=request.image_id, revision_id=new_id("rv"))

    async def ImageGetByTag(self, request: api_pb2.ImageGetByTagRequest) -> api_pb2.ImageGetByTagResponse:
        environment, tag = self._tag(request.tag, request.environment_name)
        image_id = self.plane.images.tagged(environment, tag)
        if image_id is None:
            not_found(f"Image '{tag}' not found in environment '{environment}'.")
        return api_pb2.ImageGetByTagResponse(image_id=image_id)

    async def ImageNameDelete(self, request: api_pb2.ImageNameDeleteRequest) -> Empty:
        environment, tag = self._tag(request.tag, "")
        if self.plane.images.tagged(environment, tag) is None:
            not_found(f"Image '{tag}' not found in environment '{environment}'.")
        self.plane.images.unpublish(environment, tag)
        return Empty()

    def _tag(self, tag: str, environment_name: str) -> tuple[str, str]:
        """The environment and the name of ``environment/name:tag``."""
        prefix, slash, rest = tag.rpartition("/")
        return self.environment(prefix if slash else environment_name), rest

    async def ImageJoinStreaming(
        self, request: api_pb2.ImageJoinStreamingRequest
    ) -> AsyncIterator[api_pb2.ImageJoinStreamingResponse]:
        build = self._builds.get(request.image_id)
        if build is None:
            if self.plane.image_store.get(request.image_id) is None:
                not_found(f"Image '{request.image_id}' not found.")
            yield api_pb2.ImageJoinStreamingResponse(result=_SUCCESS, metadata=_METADATA, eof=True)
            return
        sent = int(request.last_entry_id or 0)
        end = time.monotonic() + request.timeout
        while time.monotonic() < end:
            changed = build.changed
            for line in build.lines[sent:]:
                sent += 1
                logs = api_pb2.TaskLogs(
                    data=line, timestamp=time.time(), file_descriptor=api_pb2.FILE_DESCRIPTOR_STDOUT
                )
                yield api_pb2.ImageJoinStreamingResponse(task_logs=[logs], entry_id=str(sent))
            if build.result is not None:
                yield api_pb2.ImageJoinStreamingResponse(
                    result=build.result, metadata=_METADATA, entry_id=str(sent), eof=True
                )
                return
            try:
                await asyncio.wait_for(changed.wait(), end - time.monotonic())
            except TimeoutError:
                return

    async def _build(self, image_id: str, build: Build, *, force: bool) -> None:
        loop = asyncio.get_running_loop()

        def log(line: str) -> None:
            build.lines.append(line if line.endswith("\n") else line + "\n")
            loop.call_soon_threadsafe(build.tell)

        try:
            await self.environment_of(image_id, log, force=force)
            build.result = _SUCCESS
        except LocalModalError as error:
            build.result = Result(status=Result.GENERIC_STATUS_FAILURE, exception=str(error))
        except BaseException as error:
            build.result = Result(status=Result.GENERIC_STATUS_TERMINATED, exception=f"{type(error).__name__}: {error}")
            raise
        finally:
            build.tell()

    async def environment_of(self, image_id: str, log: Callable[[str], None], *, force: bool = False) -> Environment:
        """The environment of an image, built where it isn't.

        Raises:
            LocalModalError: an unknown image, or a build that failed.
        """
        built = self.plane.image_store.get(image_id)
        if built is not None and not force:
            self.plane.image_store.use(built)
            return built
        stored = self.plane.images.get(image_id)
        if stored is None:
            raise LocalModalError(f"image {image_id} is not known here; deploy again")
        for base in stored.image.base_images:
            await self.environment_of(base.image_id, log)
        secrets: dict[str, str] = {}
        for secret_id in stored.image.secret_ids:
            secrets.update(self.plane.secrets.values(secret_id) or {})
        context = self.plane.mounts.layout([stored.context_mount]) if stored.context_mount else None
        return await self.plane.image_store.build(
            stored.image, image_id, log, context_mount=context, secrets=secrets, force=force
        )


_SUCCESS = Result(status=Result.GENERIC_STATUS_SUCCESS)
_METADATA = api_pb2.ImageMetadata(image_builder_version=IMAGE_BUILDER_VERSION)
