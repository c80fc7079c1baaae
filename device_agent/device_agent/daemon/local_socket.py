r"""The agent's unix socket: JSON lines, one request a line, one answer a line, and events to listeners.

Requests (each may carry a `tag` of any JSON type, which its answer repeats):

- `{"command":"publish","topic":T,"payload":TEXT}` or `"payloadBase64":…`; optional `id`, `retain`, `contentType`,
  `absolute`. Answered once the message is durable: `{"ok":true,"id":…,"sequence":…,"topic":…}`.
- `{"command":"subscribe","filter":F}`; optional `absolute`. From then on events: `{"event":"message","topic":…,
  "payload":…|"payloadBase64":…,"properties":{…}}`, `{"event":"subscribed","filter":…}` when AWS IoT has granted it, and
  `{"event":"refused","filter":…,"error":…}`.
- `{"command":"status"}`, `{"command":"retry-dead-letters"}`.

A failure is `{"ok":false,"code":…,"error":…}` with the code `invalid`, `full` (the queue's limit), `storage` (the disk)
or `stopping`. The socket's mode is 0660: its users are root, the agent's own user and the members of its group.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import selectors
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from device_agent._exceptions import DeviceAgentError
from device_agent.daemon.loop import Loop

MAX_LINE = 1024 * 1024
"""Bytes of a request: AWS IoT's 128 KiB of payload, each byte written as six in JSON, fit."""
MAX_CLIENTS = 64
MAX_PENDING = 1000
"""Publish requests of one client that wait for the disk before the agent reads no further from it."""
MAX_UNREAD = 4 * 1024 * 1024
"""Bytes that a client may leave unread before it is disconnected."""
_READ = 256 * 1024

Answer = Callable[[dict[str, Any]], None]
_log = logging.getLogger(__name__)


class Client:
    """A connected local program."""

    def __init__(self, server: LocalSocket, connection: socket.socket, peer: str) -> None:
        self.peer = peer
        self.filters: list[str] = []
        self.pending = 0
        self._server = server
        self._connection = connection
        self._in = bytearray()
        self._out = bytearray()
        self._flush_soon = False
        self._wanted = selectors.EVENT_READ
        self.open = True

    def send(self, document: dict[str, Any]) -> None:
        """Send a line; a client that reads too slowly is disconnected.

        Args:
            document: The line's object.
        """
        if not self.open:
            return
        self._out += json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        if len(self._out) > MAX_UNREAD:
            _log.warning("%s left %d bytes unread and was disconnected", self.peer, len(self._out))
            self.close()
            return
        if not self._flush_soon:
            self._flush_soon = True
            self._server.loop.hand_over(self.flush)

    def flush(self) -> None:
        """Write what the socket takes."""
        self._flush_soon = False
        if self.open and self._out:
            try:
                del self._out[: self._connection.send(self._out)]
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
        self._watch()

    def close(self) -> None:
        """End the connection."""
        if self.open:
            self.open = False
            self._server.loop.unwatch(self._connection)
            self._connection.close()
            self._server.forget(self)

    def ready(self, events: int) -> None:
        """Read and write as the socket allows."""
        if events & selectors.EVENT_WRITE:
            self.flush()
        if self.open and events & selectors.EVENT_READ:
            self._read()

    def _read(self) -> None:
        try:
            data = self._connection.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._in += data
        *lines, rest = self._in.split(b"\n")
        self._in = bytearray(rest)
        for line in lines:
            if self.open:
                self._take(bytes(line))
        if self.open and len(self._in) > MAX_LINE:
            self._refuse_line()
        if self.open:
            self._watch()

    def _take(self, line: bytes) -> None:
        if len(line) > MAX_LINE:
            self._refuse_line()
            return
        request: Any = None
        with suppress(ValueError, RecursionError):
            request = json.loads(line)
        if not isinstance(request, dict):
            self.send({"ok": False, "code": "invalid", "error": "the request is not a JSON object on one line"})
            return
        tag = {"tag": request["tag"]} if "tag" in request else {}
        self.pending += 1
        answered = False

        def answer(document: dict[str, Any]) -> None:
            nonlocal answered
            if not answered:
                answered = True
                self.pending -= 1
                self.send({**document, **tag})

        try:
            self._server.handle(self, request, answer)
        except DeviceAgentError as error:
            answer({"ok": False, "code": "invalid", "error": str(error)})

    def _refuse_line(self) -> None:
        self.send({"ok": False, "code": "invalid", "error": f"a request may have {MAX_LINE} bytes"})
        self.flush()
        self.close()

    def _watch(self) -> None:
        if self.open:
            wanted = (selectors.EVENT_READ if self.pending < MAX_PENDING else 0) | (
                selectors.EVENT_WRITE if self._out else 0
            )
            if wanted == self._wanted:
                return
            self._wanted = wanted
            if wanted:
                self._server.loop.watch(self._connection, wanted, self.ready)
            else:
                self._server.loop.unwatch(self._connection)


class LocalSocket:
    """The listening socket and its clients. All calls on the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        path: Path,
        handle: Callable[[Client, dict[str, Any], Answer], None],
        on_leave: Callable[[Client], None],
    ) -> None:
        """Listen.

        Args:
            loop: The loop.
            path: The socket's file; one that nobody listens on any more is replaced.
            handle: Called with each request and what to call once with its answer, on the loop's thread.
                A `DeviceAgentError` that it raises is the answer.
            on_leave: Called with a client that has gone.

        Raises:
            DeviceAgentError: The socket cannot be made.
        """
        self.loop = loop
        self.handle = handle
        self.clients: set[Client] = set()
        self._on_leave = on_leave
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        # The mode is right from the first moment, not changed after.
        before = os.umask(0o117)
        try:
            path.unlink(missing_ok=True)
            self._socket.bind(str(path))
            self._socket.listen(MAX_CLIENTS)
        except OSError as error:
            self._socket.close()
            raise DeviceAgentError(
                f"the socket {path} cannot be made: {error.strerror or error}; does its folder exist, and is it yours?"
            ) from error
        finally:
            os.umask(before)
        loop.watch(self._socket, selectors.EVENT_READ, self._accept)

    def forget(self, client: Client) -> None:
        """Take note that a client has gone."""
        self.clients.discard(client)
        self._on_leave(client)

    def close(self) -> None:
        """Stop listening and disconnect everybody."""
        self.loop.unwatch(self._socket)
        self._socket.close()
        for client in list(self.clients):
            client.flush()
            client.close()
        self._path.unlink(missing_ok=True)

    def _accept(self, _events: int) -> None:
        with suppress(BlockingIOError):
            connection, _address = self._socket.accept()
            connection.setblocking(False)
            process, user, _group = struct.unpack(
                "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            )
            if len(self.clients) >= MAX_CLIENTS:
                _log.warning(
                    "process %d of user %d was turned away: %d clients are the most", process, user, MAX_CLIENTS
                )
                connection.close()
                return
            client = Client(self, connection, f"process {process} of user {user}")
            self.clients.add(client)
            self.loop.watch(connection, selectors.EVENT_READ, client.ready)


def read_payload(request: dict[str, Any]) -> bytes:
    """Take the payload out of a publish request.

    Args:
        request: The request.

    Returns:
        The bytes.

    Raises:
        DeviceAgentError: There is none, or two, or it is malformed.
    """
    text, encoded = request.get("payload"), request.get("payloadBase64")
    if isinstance(text, str) and encoded is None:
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise DeviceAgentError("payload holds half a surrogate pair; send it as payloadBase64") from None
    if isinstance(encoded, str) and text is None:
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise DeviceAgentError("payloadBase64 is not base64") from None
    raise DeviceAgentError("a publish needs either payload (text) or payloadBase64")


def write_payload(payload: bytes) -> dict[str, str]:
    """Write a payload as `payload` if it is text, and as `payloadBase64` otherwise."""
    try:
        return {"payload": payload.decode()}
    except UnicodeDecodeError:
        return {"payloadBase64": base64.b64encode(payload).decode("ascii")}
