r"""The agent's unix socket: JSON lines, one request a line, one answer a line, and events to listeners.

Requests (each may carry a `tag` of any JSON type, which its answer repeats, and `bodyBytes`, the number of bytes that
follow its line as they are):

- `{"command":"publish","topic":T,"payload":TEXT}` or `"payloadBase64":…`; optional `id`, `retain`, `contentType`,
  `absolute`. Answered once the message is durable: `{"ok":true,"id":…,"sequence":…,"topic":…}`.
- `{"command":"publish-many","topics":[…],"ids":[…],"sizes":[…],"bodyBytes":N}`, the payloads one after the other in the
  body; optional as above, for all. Answered once all are durable, with the first one's sequence number:
  `{"ok":true,"sequence":S,"count":N,"topics":{T:WHOLE}}`. A failure says the same of those before the one refused.
- `{"command":"subscribe","filter":F}`; optional `absolute`. From then on events: `{"event":"message","topic":…,
  "payload":…|"payloadBase64":…,"properties":{…}}`, `{"event":"subscribed","filter":…}` when AWS IoT has granted it, and
  `{"event":"refused","filter":…,"error":…}`.
- `{"command":"subscribe","filter":F,"persistent":true}`: AWS IoT and the agent keep what comes in and hand it to the
  one program that subscribes so, now and after it has gone and come back. These events carry a `number`, and the
  program sends `{"command":"acknowledge","number":N}` when it is done with the message; one that it has not
  acknowledged is handed to the next. `{"command":"unsubscribe","filter":F}` ends it: `{"ok":true,"messages":N}`, those
  that were dropped.
- `{"command":"status"}`, `{"command":"retry-dead-letters"}`.
- `{"command":"protocol"}`: `{"ok":true,"version":2}`. An agent that does not know it has version 1, which is all of
  the above but `publish-many`, `bodyBytes`, `persistent`, `acknowledge` and `unsubscribe`.

A failure is `{"ok":false,"code":…,"error":…}` with the code `invalid`, `forbidden`, `taken` (by another program),
`full` (the queue's limit), `storage` (the disk), `stopping`, or `internal` (a fault of the agent's own). The socket's
mode is 0660: its users are root, the agent's own user and the members of its group.
"""

from __future__ import annotations

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
"""Bytes of a request's line, and of its body: AWS IoT's 128 KiB of payload, each byte written as six in JSON, fit."""
MAX_CLIENTS = 64
MAX_BUFFERED = 8 * 1024 * 1024
"""Bytes that the agent holds for all clients together: half for requests, read but not durable, and half for what
clients have not read."""
REQUEST_OVERHEAD = 1024
"""Bytes that a request counts for until it is answered, besides twice its text: once as read, once as a message."""
_READ = 64 * 1024
_SO_PEERGROUPS = 59  # asm-generic/socket.h; Linux 4.13

Answer = Callable[[dict[str, Any]], None]
Handle = Callable[["Client", dict[str, Any], bytes, Answer], None]
_log = logging.getLogger(__name__)


class RequestError(DeviceAgentError):
    """A request that is not done.

    Attributes:
        code: The answer's code.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Client:
    """A connected local program.

    Attributes:
        groups: The numbers of the Unix groups that it belongs to.
        user: Its user's number.
    """

    def __init__(
        self, server: LocalSocket, connection: socket.socket, *, process: int, user: int, groups: frozenset[int]
    ) -> None:
        self.peer = f"process {process} of user {user}"
        self.user = user
        self.groups = groups
        self.open = True
        self._server = server
        self._connection = connection
        self._in = bytearray()
        self._out = bytearray()
        self._body_of: tuple[dict[str, Any], int, int] | None = None
        self._flush_soon = False
        self._deaf = False
        self._wanted = selectors.EVENT_READ

    @property
    def incomplete(self) -> int:
        """Bytes of a request that has not all come."""
        return len(self._in)

    @property
    def unread(self) -> int:
        """Bytes that it has not read."""
        return len(self._out)

    def send(self, document: dict[str, Any]) -> None:
        """Send a line."""
        if not self.open or self._deaf:
            return
        self._out += json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        self._server.limit_unread()
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
                # It reads no more; what it has sent before it went counts all the same.
                self._deaf = True
                self._out.clear()
        self.watch()

    def close(self) -> None:
        """End the connection."""
        if self.open:
            self.open = False
            self._server.loop.unwatch(self._connection)
            self._connection.close()
            self._in.clear()
            self._out.clear()
            self._server.forget(self)

    def ready(self, events: int) -> None:
        """Read and write as the socket allows. Whatever goes wrong ends this client alone."""
        try:
            if events & selectors.EVENT_WRITE:
                self.flush()
            if self.open and events & selectors.EVENT_READ and self._server.has_room():
                self._read()
                self.watch()
        except Exception:  # noqa: BLE001 - nothing that a client sends ends the agent
            _log.exception("%s is disconnected", self.peer)
            self.close()

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
        at = 0
        while self.open and (end := self._end_of_request(at)) is not None:
            part, at = bytes(self._in[at:end]), end
            if self._body_of is not None:
                (request, _size, line), self._body_of = self._body_of, None
                self._handle(request, part, line)
            else:
                self._take_line(part[:-1])
        if self.open:
            del self._in[:at]
            self._server.limit_requests()

    def _end_of_request(self, at: int) -> int | None:
        """Find where the line or the body that begins at a place ends; None if it has not all come."""
        if self._body_of is not None:
            end = at + self._body_of[1]
            return end if len(self._in) >= end else None
        newline = self._in.find(b"\n", at)
        if (len(self._in) if newline < 0 else newline) - at > MAX_LINE:
            self._refuse(f"a request may have {MAX_LINE} bytes")
            return None
        return None if newline < 0 else newline + 1

    def _take_line(self, line: bytes) -> None:
        request: Any = None
        with suppress(ValueError, RecursionError):
            request = json.loads(line)
        if not isinstance(request, dict):
            self.send({"ok": False, "code": "invalid", "error": "the request is not a JSON object on one line"})
            return
        size = request.get("bodyBytes", 0)
        if type(size) is not int or not 0 <= size <= MAX_LINE:
            self._refuse(f"bodyBytes is {str(size)[:40]}; it is a number from 0 to {MAX_LINE}")
        elif size:
            self._body_of = (request, size, len(line))
        else:
            self._handle(request, b"", len(line))

    def _handle(self, request: dict[str, Any], body: bytes, line: int) -> None:
        tag = {"tag": request["tag"]} if "tag" in request else {}
        held = 2 * (line + len(body)) + REQUEST_OVERHEAD
        self._server.unanswered += held
        answered = False

        def answer(document: dict[str, Any]) -> None:
            nonlocal answered
            if not answered:
                answered = True
                # Also of one who has gone: the disk still has it before it.
                self._server.unanswered -= held
                self._server.answered()
                self.send({**document, **tag})

        try:
            self._server.handle(self, request, body, answer)
        except DeviceAgentError as error:
            answer({"ok": False, "code": getattr(error, "code", "invalid"), "error": str(error)})
        except Exception as error:  # noqa: BLE001 - nothing that a client asks for ends the agent
            _log.exception("a request of %s failed", self.peer)
            answer({"ok": False, "code": "internal", "error": f"the agent failed at this request: {error!r}"})

    def _refuse(self, error: str) -> None:
        """Say why, and disconnect: where the next request begins is not known."""
        self.send({"ok": False, "code": "invalid", "error": error})
        self.flush()
        self.close()

    def watch(self) -> None:
        """Wait for what is of use: room in the socket, and requests while there is room for them."""
        if self.open:
            wanted = (selectors.EVENT_READ if self._server.has_room() else 0) | (
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
        handle: Handle,
        on_leave: Callable[[Client], None],
        *,
        max_buffered: int = MAX_BUFFERED,
    ) -> None:
        """Listen.

        Args:
            loop: The loop.
            path: The socket's file; one that nobody listens on any more is replaced.
            handle: Called with each request, its body, and what to call once with its answer, on the loop's thread.
                A `DeviceAgentError` that it raises is the answer.
            on_leave: Called with a client that has gone.
            max_buffered: Bytes to hold for all clients together.

        Raises:
            DeviceAgentError: The socket cannot be made.
        """
        self.loop = loop
        self.handle = handle
        self.clients: set[Client] = set()
        self._on_leave = on_leave
        self._path = path
        self.unanswered = 0
        self._share = max_buffered // 2
        self._paused = False
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

    # What all clients hold together

    def has_room(self) -> bool:
        """Tell whether requests are read."""
        return not self._paused

    def limit_requests(self) -> None:
        """Read no further while too much waits for an answer; disconnect who sends most without an end."""
        while (held := self._requests()) > self._share and self.unanswered <= self._share // 2:
            self._disconnect_largest(lambda client: client.incomplete, f"all clients together sent {held} bytes")
        self._pause(held > self._share)

    def answered(self) -> None:
        """Read on if there is room again."""
        if self._paused and (self._requests() <= self._share // 2 or self.unanswered == 0):
            self.limit_requests()

    def _requests(self) -> int:
        return self.unanswered + sum(client.incomplete for client in self.clients)

    def _pause(self, paused: bool) -> None:
        if paused != self._paused:
            self._paused = paused
            for client in list(self.clients):
                client.watch()

    def limit_unread(self) -> None:
        """Disconnect who has left the most unread while it is too much for all together."""
        while (held := sum(client.unread for client in self.clients)) > self._share:
            self._disconnect_largest(lambda client: client.unread, f"all clients together left {held} bytes unread")

    def _disconnect_largest(self, size: Callable[[Client], int], why: str) -> None:
        largest = max(self.clients, key=size)
        _log.warning("%s is disconnected for its %d bytes: %s", largest.peer, size(largest), why)
        largest.close()

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
        try:
            connection, _address = self._socket.accept()
        except OSError as error:
            # It has gone already, or this process has no descriptor left: others may end meanwhile.
            _log.warning("a local program could not be accepted: %s", error.strerror)
            return
        connection.setblocking(False)
        process, user, group = struct.unpack(
            "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
        if len(self.clients) >= MAX_CLIENTS:
            _log.warning("process %d of user %d was turned away: %d clients are the most", process, user, MAX_CLIENTS)
            connection.close()
            return
        groups = frozenset({group, *_further_groups(connection)})
        client = Client(self, connection, process=process, user=user, groups=groups)
        self.clients.add(client)
        self.loop.watch(connection, selectors.EVENT_READ, client.ready)
        client.watch()


def _further_groups(connection: socket.socket) -> list[int]:
    """Read the peer's supplementary groups; none if it has more than Python lets be read, 256."""
    try:
        found = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)
    except OSError:
        return []
    return [number for (number,) in struct.iter_unpack("I", found)]
