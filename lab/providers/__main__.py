"""Serves a stand-in provider: `python -m lab.providers aws|tls [ENGINE_ADDRESS]`.

Started by the engine as a plugin: it prints the port that it listens on, and ends when it is killed or when the
engine is gone.
"""

import argparse
import os
import sys
import threading
from concurrent import futures

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from lab.providers import PROVIDERS, load
from lab.providers.protocol import Servicer

# Pulumi's own limit for a message (sdk/go/common/util/rpcutil: 400 MB).
_MESSAGE_LIMIT = 400 * 1024 * 1024
_THREADS = 64


def main(argv: list[str] | None = None) -> int:
    """Serves until it is stopped.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m lab.providers", description=__doc__)
    parser.add_argument("provider", choices=PROVIDERS)
    parser.add_argument("engine", nargs="?", help="the engine's address, as the engine gives it")
    arguments, _ = parser.parse_known_args(argv)
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=_THREADS),
        options=[("grpc.max_receive_message_length", _MESSAGE_LIMIT), ("grpc.max_send_message_length", _MESSAGE_LIMIT)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(load(arguments.provider)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    if arguments.engine:
        _end_with_parent()
    server.wait_for_termination()
    return 0


def _end_with_parent() -> None:
    """An engine that is killed cannot stop its plugins: one that lost its parent stops by itself."""
    parent = os.getppid()

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(1)
        os._exit(0)

    threading.Thread(target=watch, name="parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
