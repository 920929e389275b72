"""An app that looks around where it runs: deployed from outside into local Modal's container."""

import importlib.metadata
import os
from pathlib import Path
from typing import Any

import modal

app = modal.App("inside")
image = modal.Image.debian_slim(python_version="3.11").pip_install("six==1.17.0")
OF_OTHERS = ("environ", "maps", "mem", "root/var/lib/local-modal/credentials.json")


@app.function(image=image, timeout=20)
def look() -> dict[str, Any]:
    """What a container that serves a call sees."""
    six = importlib.metadata.version("six")
    return {"six": six, "uid": os.getuid(), "proc": sorted(os.listdir("/proc")), "env": dict(os.environ)}


@app.cls(image=image, timeout=20)
class Door:
    """A web endpoint: a page that says how it was asked, and a WebSocket that echoes."""

    @modal.asgi_app(label="inside-door", requires_proxy_auth=True)
    def page(self) -> Any:
        async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.accept"})
                while (message := await receive())["type"] == "websocket.receive":
                    await send({"type": "websocket.send", "bytes": message["bytes"]})
                return
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            asked = f"{path}?{scope['query_string'].decode()}".encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": asked})

        return application


def readable(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return bool(file.read(1))
    except OSError:
        return False


@app.cls(image=image, timeout=20, single_use_containers=True, enable_memory_snapshot=True)
class Box:
    """What a snapshot sees: of each process of the control plane, the files that could be read."""

    @modal.enter(snap=True)
    def prepare(self) -> None:
        self.control_plane: dict[str, list[str]] = {}
        for process in filter(lambda entry: entry.name.isdigit(), Path("/proc").iterdir()):
            if b"local_modal\0start" in (process / "cmdline").read_bytes():
                self.control_plane[process.name] = [name for name in OF_OTHERS if readable(process / name)]

    @modal.method()
    def control_plane_as_seen_by_the_snapshot(self) -> dict[str, list[str]]:
        return self.control_plane

    @modal.method()
    def length(self, data: bytes) -> int:
        return len(data)
