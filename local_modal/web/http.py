"""Health, the upload and download of blobs, web endpoints, and a word where Modal would show an app's page."""

import os

from aiohttp import web

from local_modal.errors import LocalModalError
from local_modal.plane import Plane
from local_modal.settings import CLIENT_VERSION
from local_modal.strangers import Strangers
from local_modal.web import address
from local_modal.web.endpoints import Endpoints

PLANE = web.AppKey("plane", Plane)
STRANGERS = web.AppKey("strangers", Strangers)
NO_PAGES = """Local Modal has no pages. With its variables (`eval "$(local-modal env)"`):
  modal app list         the apps that are deployed here
  modal app logs NAME    what an app's containers print
  modal container list   the containers that run
"""


def http_application(plane: Plane, strangers: Strangers) -> web.Application:
    """The routes of the control plane's HTTP side."""
    endpoints = Endpoints(plane, strangers)
    application = web.Application(client_max_size=plane.settings.max_input_bytes, middlewares=[endpoints.by_host])
    application[PLANE] = plane
    application[STRANGERS] = strangers
    application.router.add_get("/health", _health)
    application.router.add_get("/apps/{page:.*}", _app_page)
    application.router.add_route("*", address.PATH + "{rest:.*}", endpoints.by_path)
    application.router.add_put("/blobs/{blob_id}/{key}", _upload)
    application.router.add_get("/blobs/{blob_id}/{key}", _download)
    return application


async def _health(request: web.Request) -> web.Response:
    """Says that it serves, and who it is; nothing that only an account may know."""
    plane = request.app[PLANE]
    return web.json_response(
        {"status": "ok", "client_version": CLIENT_VERSION, "workspace": plane.settings.workspace, "pid": os.getpid()}
    )


async def _app_page(_request: web.Request) -> web.Response:
    """Where the client's links to an app lead; the same for every app, known or not."""
    return web.Response(text=NO_PAGES)


def _checked_blob(request: web.Request) -> str:
    blob_id = request.match_info["blob_id"]
    if not request.app[PLANE].blobs.opens(blob_id, request.match_info["key"]):
        raise web.HTTPNotFound(text="no such blob")
    request.app[STRANGERS].recognise(request.transport)
    return blob_id


async def _upload(request: web.Request) -> web.Response:
    try:
        md5 = await request.app[PLANE].blobs.write(_checked_blob(request), request.content.iter_chunked(1 << 20))
    except LocalModalError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    return web.Response(headers={"ETag": f'"{md5}"'})


async def _download(request: web.Request) -> web.StreamResponse:
    blobs, blob_id = request.app[PLANE].blobs, _checked_blob(request)
    if (result := blobs.result(blob_id)) is not None:
        response = web.StreamResponse(headers={"Content-Length": str(len(result))})
        await response.prepare(request)
        await response.write(result)
        await response.write_eof()
        blobs.drop(blob_id)
        return response
    path = blobs.path(blob_id)
    if path is None:
        raise web.HTTPNotFound(text="no such blob")
    return web.FileResponse(path)
