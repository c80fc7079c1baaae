"""Serves one provider on a loopback port until it is stopped."""

import os
import sys
import threading
from concurrent import futures

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from lab.providers import load
from lab.providers.protocol import Servicer

# Pulumi's own limit for a message (sdk/go/common/util/rpcutil: 400 MB).
_MESSAGE_LIMIT = 400 * 1024 * 1024
_THREADS = 64


def start(name: str) -> tuple[grpc.Server, int]:
    """Starts serving a provider.

    Args:
        name: `aws` or `tls`.

    Returns:
        The server, which ends with `stop`, and its port on 127.0.0.1.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=_THREADS),
        options=[("grpc.max_receive_message_length", _MESSAGE_LIMIT), ("grpc.max_send_message_length", _MESSAGE_LIMIT)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(load(name)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def serve(name: str, *, has_engine: bool) -> None:
    """Serves a provider as a plugin does: tells the port on standard output, and goes on until it is killed.

    Args:
        name: `aws` or `tls`.
        has_engine: Whether an engine started it; then it ends with the engine, which cannot stop it once it is killed.
    """
    server, port = start(name)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    if has_engine:
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), name="parent", daemon=True).start()
    server.wait_for_termination()


def _end_with_parent(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(1)
    os._exit(0)
