"""The control socket: one JSON object a line, answered by one JSON object a line.

``{"command": "status"}``, ``{"command": "latest"}`` (events and messages) and ``{"command": "disconnect", "clientId":
"pi-1"}``; what is not understood is answered with ``{"error": "…"}``. ``ask`` is the client.
"""

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

from lab.path.gateway.server import Gateway


def _answer(gateway: Gateway, line: bytes) -> dict[str, object]:
    try:
        request = json.loads(line)
    except ValueError as error:
        return {"error": f"no JSON: {error}"}
    command = request.get("command") if isinstance(request, dict) else None
    if command == "status":
        return gateway.status()
    if command == "latest":
        return dict(gateway.journal.latest())
    if command == "disconnect" and isinstance(request.get("clientId"), str):
        return {"disconnected": gateway.disconnect(request["clientId"])}
    known = '{"command":"status"}, {"command":"latest"} or {"command":"disconnect","clientId":"…"}'
    return {"error": f"a command is needed: {known}"}


async def serve(gateway: Gateway, path: Path) -> asyncio.Server:
    """Answer on a unix socket that only its owner may open."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(_answer(gateway, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the asker has gone, or sent a line without end: its own affair
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(converse, path)
    finally:
        os.umask(mask)


def ask(path: Path, request: dict[str, object], *, timeout: float = 5.0) -> dict[str, Any]:
    """Put one request to a running gateway.

    Raises:
        OSError: nobody answers.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        client.connect(str(path))
        client.sendall(json.dumps(request).encode() + b"\n")
        with client.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads(lines.readline())
    return answer
