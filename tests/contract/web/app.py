"""The app that the tests of web endpoints deploy: an ASGI application of many behaviours behind several doors."""

# ruff: noqa: ARG001, BLE001, PLC0415, PLR0912

import asyncio
import json
import time
from typing import Any

import modal

app = modal.App("web-doors")
image = modal.Image.debian_slim(python_version="3.11")
seen: list[str] = []
"""What happened to earlier requests of this container."""
SNAPSHOT: dict[str, Any] = {"image": image, "timeout": 60, "enable_memory_snapshot": True}


async def start(send: Any, status: int = 200, headers: Any = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def finish(send: Any, body: bytes = b"") -> None:
    await send({"type": "http.response.body", "body": body})


async def describe(scope: Any, receive: Any, send: Any) -> None:
    """Everything of a request."""
    body, events, more = b"", 0, True
    while more:
        message = await receive()
        body, events, more = body + message["body"], events + 1, message["more_body"]
    found = {
        "method": scope["method"],
        "path": scope["path"],
        "root_path": scope["root_path"],
        "query": scope["query_string"].decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "scheme": scope["scheme"],
        "size": len(body),
        "body": body[:100].decode("latin-1"),
        "events": events,
    }
    await start(send, headers=[(b"content-type", b"application/json"), (b"x-twice", b"a"), (b"x-twice", b"b")])
    await finish(send, json.dumps(found).encode())


async def upper(scope: Any, receive: Any, send: Any) -> None:
    """Answers each part of the body before the next has come."""
    await start(send)
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        if message["body"]:
            await send({"type": "http.response.body", "body": message["body"].upper(), "more_body": True})
    await finish(send)


async def flood(scope: Any, receive: Any, send: Any) -> None:
    """Sends part after part, and counts; ``?<parts>x<KiB of each>``."""
    await start(send)
    parts, kib = map(int, scope["query_string"].split(b"x"))
    for number in range(parts):
        await send({"type": "http.response.body", "body": b"x" * (kib << 10), "more_body": True})
        seen.append(f"sent {number + 1}")
    await finish(send)


async def ignore_body(scope: Any, receive: Any, send: Any) -> None:
    """Takes the body's first part, and the others after a while."""
    size, more = 0, True
    while more:
        message = await receive()
        await asyncio.sleep(0 if size else 3)
        size, more = size + len(message["body"]), message["more_body"]
    await start(send)
    await finish(send, str(size).encode())


async def linger(scope: Any, receive: Any, send: Any) -> None:
    """Answers when its client has left, or is cancelled."""
    mode = scope["query_string"].decode()
    await receive()
    seen.append(f"{mode} waits")
    try:
        if mode == "polite":
            while (await receive())["type"] != "http.disconnect":
                pass
            seen.append("polite saw the disconnect")
        elif mode == "stubborn":
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    seen.append("stubborn was cancelled")
        else:
            await asyncio.sleep(60)
    except asyncio.CancelledError:
        seen.append(f"{mode} was cancelled")
        raise


async def broken(scope: Any, receive: Any, send: Any) -> None:
    """What is no answer, in many ways."""
    how = scope["query_string"].decode()
    await receive()
    if how == "raise":
        raise ValueError("secret of the application")
    if how == "raise-late":
        await start(send)
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asyncio.sleep(0.2)
        raise ValueError("secret of the application")
    if how == "silent":
        return
    if how == "body-first":
        await send({"type": "http.response.body", "body": b"x"})
    elif how == "status":
        await start(send, 99)
    elif how == "switch":
        await start(send, 101)
    elif how == "inject":
        await start(send, headers=[(b"x-a", b"b\r\nSet-Cookie: c=d")])
    elif how == "inject-name":
        await start(send, headers=[(b"x-a: b\r\nx-c", b"d")])
    elif how == "hop":
        await start(send, headers=[(b"connection", b"x-a"), (b"transfer-encoding", b"gzip"), (b"upgrade", b"h2c")])
    elif how == "many":
        await start(send, headers=[(b"x", b"")] * 5_000)
    elif how == "lengths":
        await start(send, headers=[(b"content-length", b"2"), (b"content-length", b"3")])
    elif how == "short":
        await start(send, headers=[(b"content-length", b"10")])
    elif how == "long":
        await start(send, headers=[(b"content-length", b"1")])
    elif how == "wrong-kind":
        await start(send)
        await send({"type": "websocket.send", "text": "x"})
    await finish(send, b"ok")


async def history(scope: Any, receive: Any, send: Any) -> None:
    await start(send)
    await finish(send, "\n".join(seen).encode())


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """Calls a class of the same app."""
    await receive()
    await start(send)
    try:
        answer = await modal.Cls.from_name("web-doors", "Inner")(name="i").add.remote.aio(1, 2)
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    await finish(send, json.dumps(answer).encode())


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """Two at once meet in one container, or not at all."""
    await receive()
    seen.append("came")
    end = time.monotonic() + 20
    while seen.count("came") < 2 and time.monotonic() < end:
        await asyncio.sleep(0.01)
    await start(send)
    await finish(send, str(seen.count("came")).encode())


async def forge(scope: Any, receive: Any, send: Any) -> None:
    """Says to the control plane what Modal's runner wouldn't, then answers with what came back."""
    from modal._runtime.container_io_manager import _ContainerIOManager
    from modal._utils.async_utils import synchronizer
    from modal_proto import api_pb2

    manager: Any = _ContainerIOManager._singleton
    modal_here: Any = modal
    stub, call_id = manager._client._stub, modal_here.current_function_call_id()
    loop: Any = synchronizer._loop
    how = scope["query_string"].decode().rpartition("&")[2]
    bomb = api_pb2.Asgi(http_response_start=api_pb2.Asgi.HttpResponseStart(status=200, headers=[b""] * 100_000))
    chunk = api_pb2.DataChunk(data_format=api_pb2.DATA_FORMAT_ASGI, data=bomb.SerializeToString(), index=1)
    output = api_pb2.FunctionPutOutputsItem(
        input_id=modal_here.current_input_id(),
        result=api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS, data=b"\x80\x04N."),
        data_format=api_pb2.DATA_FORMAT_PICKLE,
    )

    async def say() -> str:
        if how == "output":
            await stub.FunctionPutOutputs(api_pb2.FunctionPutOutputsRequest(outputs=[output]))
        elif how in {"listen", "listen-ahead"}:
            index = 99 if how == "listen-ahead" else 0
            other = call_id if how == "listen-ahead" else "fc-" + "x" * 22
            request = api_pb2.FunctionCallGetDataRequest(function_call_id=other, last_index=index)
            async for _ in stub.FunctionCallGetDataIn.unary_stream(request):
                return "heard something"
        else:
            if how == "pickle":
                chunk.data_format = api_pb2.DATA_FORMAT_PICKLE
            elif how == "gap":
                chunk.index = 7
            elif how == "blob":
                chunk.data_blob_id = "bl-" + "x" * 22
            elif how == "noise":
                chunk.data = b"\xff\xff\xff"
            other = "fc-" + "x" * 22 if how == "call" else call_id
            put = api_pb2.FunctionCallPutDataRequest(function_call_id=other, data_chunks=[chunk])
            await stub.FunctionCallPutDataOut(put)
        return "nothing said"

    await receive()
    try:
        answer = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(say(), loop))
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    await start(send)
    await finish(send, answer.encode())


ROUTES = {
    "/": describe,
    "/upper": upper,
    "/flood": flood,
    "/ignore-body": ignore_body,
    "/linger": linger,
    "/broken": broken,
    "/history": history,
    "/inner": inner,
    "/slow": slow,
    "/forge": forge,
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    path = scope["path"].removeprefix(scope["root_path"])
    if scope["type"] == "websocket":
        await talk(path, scope, receive, send)
    else:
        await ROUTES.get(path, describe)(scope, receive, send)


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def talk(path: str, scope: Any, receive: Any, send: Any) -> None:
    """Says everything back, until a message asks for something else."""
    await receive()
    if path == "/refuse":
        await send({"type": "websocket.close", "code": 1008})
        return
    if path == "/forged-protocol":
        await send({"type": "websocket.accept", "subprotocol": "other"})
        return
    protocol = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": protocol, "headers": [(b"x-door", b"open")]})
    seen.append("socket open")
    while True:
        message = await receive()
        text = message.get("text")
        if message["type"] == "websocket.disconnect":
            seen.append(f"socket left {message['code']}")
            return
        if text == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "as asked"})
            return
        if text == "forge-close":
            await send({"type": "websocket.close", "code": 1005})
            return
        if text == "wrong-kind":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        elif text == "return":
            return
        elif text == "raise":
            raise ValueError("secret of the application")
        elif text == "sleep":
            await asyncio.sleep(60)
        elif text == "flood":
            for number in range(4_000):
                await send({"type": "websocket.send", "bytes": b"x" * (16 << 10)})
                seen.append(f"sent {number + 1}")
        elif text == "scope":
            await send({"type": "websocket.send", "text": json.dumps([scope["path"], scope["scheme"]])})
        elif text is None:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
        else:
            await send({"type": "websocket.send", "text": text})


def main_app(environ: Any, start_response: Any) -> list[bytes]:
    """A WSGI application."""
    body = environ["wsgi.input"].read()
    start_response("201 Created", [("Content-Type", "text/plain")])
    return [environ["SCRIPT_NAME"].encode(), b"|", environ["PATH_INFO"].encode(), b"|", body]


@app.cls(**SNAPSHOT)
@modal.concurrent(max_inputs=20)
class Doors:
    """Two web endpoints and a plain method, in one container."""

    @modal.asgi_app(requires_proxy_auth=True)
    def execute_block(self) -> Any:
        return application

    @modal.asgi_app(requires_proxy_auth=True)
    def wsapp(self) -> Any:
        return application

    @modal.method()
    def plain(self) -> str:
        return "plain"


@app.cls(image=image, timeout=2, enable_memory_snapshot=True)
class Brief:
    @modal.asgi_app()
    def door(self) -> Any:
        return application


@app.cls(**SNAPSHOT, single_use_containers=True, restrict_modal_access=True)
class Session:
    workspace_id: str = modal.parameter()
    count: int = modal.parameter(default=3)

    @modal.asgi_app()
    def door(self) -> Any:
        async def of_workspace(scope: Any, receive: Any, send: Any) -> None:
            path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
            if path != "/who":
                await application(scope, receive, send)
                return
            await receive()
            seen.append("asked")
            await start(send)
            await finish(send, json.dumps([self.workspace_id, self.count, len(seen)]).encode())

        return of_workspace


@app.cls(**SNAPSHOT, single_use_containers=True, restrict_modal_access=True)
class Inner:
    name: str = modal.parameter()

    @modal.method()
    def add(self, left: int, right: int) -> int:
        return left + right


@app.function(image=image, timeout=60)
@modal.concurrent(max_inputs=10)
@modal.asgi_app(label="open-door")
def open_door() -> Any:
    return application


@app.function(image=image, timeout=60)
@modal.wsgi_app()
def wsgi_door() -> Any:
    return main_app
