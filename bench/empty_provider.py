"""A Pulumi plugin whose one resource type does nothing: what is left is the engine's own cost.

Run by the engine as `python -m bench.empty_provider`; prints the port that it listens on.
"""

import os
import sys
import threading
import uuid
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

NAME = "empty"
VERSION = "1.0.0"
CHECKOUT = Path(__file__).resolve().parents[1]


class EmptyProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Accepts everything and answers at once. The method names are the protocol's."""

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CreateResponse(id=uuid.uuid4().hex, properties=request.properties)

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()


def install(pulumi_home: Path) -> None:
    """Write the plugin into a plugin home."""
    plugin = pulumi_home / "plugins" / f"resource-{NAME}-v{VERSION}" / f"pulumi-resource-{NAME}"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.write_text(f'#!/bin/sh\ncd "{CHECKOUT}" && exec "{sys.executable}" -m bench.empty_provider "$@"\n')
    plugin.chmod(0o755)


def main() -> int:
    """Serve until the engine is gone."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(EmptyProvider(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    parent = os.getppid()
    ended = threading.Event()
    while os.getppid() == parent and not ended.wait(1):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
