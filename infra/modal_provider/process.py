"""The provider as a process: its port on stdout, an end on SIGINT and SIGTERM, and when its engine is gone."""

import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.modal_provider.app import App
from infra.modal_provider.engine import Engine
from infra.modal_provider.environment import Environment
from infra.modal_provider.image import Image
from infra.modal_provider.proxy_token import ProxyToken
from infra.modal_provider.secret import Secret
from infra.modal_provider.server_image import ServerImage
from infra.modal_provider.service_user import ServiceUser
from infra.modal_provider.servicer import Provider

VERSION = "1.0.0"
RESOURCES = (Environment(), Secret(), ProxyToken(), ServiceUser(), Image(), App(), ServerImage())
THREADS = 32
WATCH_SECONDS = 1.0
FINISH_SECONDS = 15.0
"""For operations to end after they were told to."""
STOP_SECONDS = 3.0
"""For gRPC to close its connections; it has been seen to wait for ever when the engine was killed."""
MESSAGE_BYTES = 64 << 20
"""What the engine may send at once, as in Pulumi's own providers of large states."""


def main(arguments: list[str]) -> int:
    """Serves until told to stop, or until the engine is gone; work that runs is stopped then."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    requests = Requests()
    parent = os.getppid()
    engine = Engine()
    if arguments:
        engine.connect(arguments[0])
    provider = Provider(VERSION, {resource.kind: resource for resource in RESOURCES}, engine)
    limits = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
    server = grpc.server(ThreadPoolExecutor(THREADS), options=limits)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while not requests.wait(WATCH_SECONDS) and os.getppid() == parent and not engine.gone():
        pass
    provider.cancel()
    provider.wait_until_idle(FINISH_SECONDS)
    server.stop(grace=1).wait(STOP_SECONDS)
    sys.stdout.flush()
    os._exit(0)  # threads that wait for Modal would hold a normal exit up


class Requests:
    """Requests to end, by SIGINT and SIGTERM: an engine may send several, and each interrupts whatever runs.

    That may be the handler of the one before, which must hold no lock then: a threading.Event would wait for itself;
    putting into this queue is reentrant.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[int] = SimpleQueue()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _frame: self._asked.put(number))

    def wait(self, seconds: float) -> bool:
        """Whether there is one, after at most so many seconds."""
        try:
            self._asked.get(timeout=seconds)
        except Empty:
            return False
        return True
