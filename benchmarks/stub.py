"""A bare stub of a door: answers the released client's frames at once, without a sandbox, a check, or a block.

`python -m benchmarks.stub` prints the port that it listens on. What it costs is what the client's wire costs by itself.
"""

import asyncio
import base64
from typing import Any

import msgpack
from aiohttp import WSMsgType, web

from benchmarks import door_blocks
from modal_app.gateway.frames import MAX_CHUNKS, pack, split
from modal_app.gateway.service import MESSAGE_BYTES

HELLO = pack(_kind="hello", proto=2, idle_timeout_s=60, session_known=False, container_id="0" * 32)
ACKNOWLEDGED = pack(_kind="heartbeat_ack")


def result_of(inputs: dict[str, Any]) -> dict[str, Any]:
    """What the measured block gives for these inputs, in the wire's own form."""
    if "number" in inputs:
        return {"number": inputs["number"] + 1}
    if not inputs["back"]:
        return {"shape": list(door_blocks.SHAPE)}
    image = base64.b64encode(inputs["image"]["_jpeg_bytes"]).decode("ascii")
    return {"image": {"_type": "workflow_image", "type": "base64", "value": image}}


def answer(message: bytes) -> bytes:
    """The one to a message, of hello, a heartbeat or a request."""
    fields = msgpack.unpackb(message)
    if "_kind" in fields:
        return HELLO if fields["_kind"] == "hello" else ACKNOWLEDGED
    return pack(success=True, result=result_of(fields["inputs"]), request_id=fields["request_id"])


async def serve(request: web.Request) -> web.WebSocketResponse:
    """One connection."""
    socket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES, compress=False)
    await socket.prepare(request)
    async for frame in socket:
        if frame.type is not WSMsgType.BINARY:
            break
        message = frame.data
        if len(message) < MAX_CHUNKS and "_chunked" in (announced := msgpack.unpackb(message)):
            message = b"".join([await socket.receive_bytes() for _ in range(announced["_chunked"])])
        for piece in split(answer(message)):
            await socket.send_bytes(piece)
    return socket


async def main() -> None:
    """Serves until it is killed."""
    app = web.Application()
    app.router.add_get("/ws", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
