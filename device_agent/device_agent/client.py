"""The Python API for programs on the device: hand messages to the agent, and listen to what comes in.

    from device_agent import Publisher, publish, subscribe

    publish("telemetry", b'{"celsius": 21.5}')

    with Publisher() as publisher:
        publisher.publish("telemetry", b'{"celsius": 21.5}')

    for message in subscribe("commands/#"):
        print(message.topic, message.payload)

A publish returns when the message is on disk, not when AWS IoT has it: the agent sees to the rest, through outages and
reboots. Whatever happens in between, a message may arrive twice but is never lost; receivers tell by its id.
"""

from __future__ import annotations

import base64
import json
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from device_agent._exceptions import DeviceAgentError

SOCKET_FILE = "/run/private-iot/agent.sock"
_PATIENCE = 30.0


class AgentNotRunningError(DeviceAgentError):
    """No agent listens on the socket."""

    exit_code = 3


class PublishRefusedError(DeviceAgentError):
    """The agent did not accept the message; nothing was queued.

    Attributes:
        code: `invalid`, `full`, `storage` or `stopping`.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the agent gives for a message that is durable.

    Attributes:
        id: What receivers recognise a duplicate by.
        sequence: Its place in the queue.
        topic: The whole topic.
    """

    id: str
    sequence: int
    topic: str


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that came in.

    Attributes:
        topic: The whole topic.
        payload: The bytes.
        properties: MQTT 5's user properties, such as `message-id`.
    """

    topic: str
    payload: bytes
    properties: dict[str, str]


class Channel:
    """A connection to the agent's socket: JSON lines both ways."""

    def __init__(self, path: str = SOCKET_FILE, *, timeout: float | None = _PATIENCE) -> None:
        """Connect.

        Args:
            path: The socket's file.
            timeout: Seconds to wait for an answer; None for ever.

        Raises:
            AgentNotRunningError: Nobody listens.
            DeviceAgentError: This user may not.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except PermissionError:
            self._socket.close()
            raise DeviceAgentError(
                f"{path} is not open to this user; use sudo, or join its group: `sudo usermod -aG private-iot $USER`"
            ) from None
        except OSError as error:
            self._socket.close()
            raise AgentNotRunningError(
                f"no agent is running ({path}: {error.strerror}); start it with `systemctl start private-iot-agent`"
            ) from None
        self._lines = self._socket.makefile("rb")

    def send(self, *requests: dict[str, Any]) -> None:
        """Send requests."""
        self._socket.sendall(b"".join(json.dumps(request).encode() + b"\n" for request in requests))

    def receive(self) -> dict[str, Any]:
        """Wait for one line.

        Raises:
            ConnectionError: The agent has gone.
            TimeoutError: It gives no answer.
        """
        line = self._lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the agent has ended the connection")
        answer = json.loads(line)
        assert isinstance(answer, dict)  # noqa: S101 - the agent's own protocol
        return answer

    def close(self) -> None:
        """Disconnect."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class Publisher:
    """Publishes over one connection, which is made when it is first needed and made again after the agent's restart."""

    def __init__(self, path: str = SOCKET_FILE, *, patience: float = _PATIENCE) -> None:
        """Prepare.

        Args:
            path: The agent's socket.
            patience: Seconds to keep trying while the agent is away, and to wait for an answer.
        """
        self._path = path
        self._patience = patience
        self._channel: Channel | None = None

    def publish(
        self,
        topic: str,
        payload: bytes | str,
        *,
        id: str | None = None,  # noqa: A002 - the field's own word
        retain: bool = False,
        content_type: str | None = None,
        absolute: bool = False,
    ) -> Receipt:
        """Hand a message to the agent, and return when it is durable.

        Args:
            topic: Under the device's prefix, which is put in front unless it is there.
            payload: At most 128 KiB; text is sent as UTF-8.
            id: What receivers recognise a duplicate by; made up by default.
            retain: Whether AWS IoT keeps it for later subscribers.
            content_type: MQTT 5's description of the payload.
            absolute: Whether to take the topic as it is.

        Returns:
            The receipt.

        Raises:
            PublishRefusedError: The agent does not take it: a bad topic, a full queue, a full disk.
            AgentNotRunningError: No agent answered within the patience.
        """
        (receipt,) = self.publish_many(
            [(topic, payload)],
            ids=None if id is None else [id],
            retain=retain,
            content_type=content_type,
            absolute=absolute,
        )
        return receipt

    def publish_many(
        self,
        messages: Sequence[tuple[str, bytes | str]],
        *,
        ids: Sequence[str] | None = None,
        retain: bool = False,
        content_type: str | None = None,
        absolute: bool = False,
    ) -> list[Receipt]:
        """Hand many messages over at once, which the agent writes in few transactions.

        Args:
            messages: Topic and payload of each, in order.
            ids: As many ids; made up by default.
            retain: As for `publish`, for all of them.
            content_type: Likewise.
            absolute: Likewise.

        Returns:
            The receipts, in order.

        Raises:
            PublishRefusedError: The agent did not take one of them; those before it are durable.
            AgentNotRunningError: No agent answered within the patience.
        """
        requests = []
        for number, (topic, payload) in enumerate(messages):
            request: dict[str, Any] = {
                "command": "publish",
                "topic": topic,
                "id": ids[number] if ids else str(uuid.uuid4()),
                **({"payload": payload} if isinstance(payload, str) else {"payloadBase64": _base64(payload)}),
            }
            if retain:
                request["retain"] = True
            if content_type is not None:
                request["contentType"] = content_type
            if absolute:
                request["absolute"] = True
            requests.append(request)
        receipts: list[Receipt] = []
        deadline = time.monotonic() + self._patience
        while len(receipts) < len(requests):
            try:
                self._exchange(requests[len(receipts) : len(receipts) + 500], receipts)
                deadline = time.monotonic() + self._patience
            except (ConnectionError, AgentNotRunningError, BrokenPipeError, TimeoutError) as error:
                # The ids stay the same, so that whoever receives both copies can tell.
                self.close()
                if time.monotonic() >= deadline:
                    raise AgentNotRunningError(f"the agent does not answer: {error}") from error
                time.sleep(min(0.5, self._patience / 10))
        return receipts

    def _exchange(self, requests: list[dict[str, Any]], receipts: list[Receipt]) -> None:
        if self._channel is None:
            self._channel = Channel(self._path, timeout=self._patience)
        self._channel.send(*requests)
        for _request in requests:
            answer = self._channel.receive()
            if not answer["ok"]:
                if answer["code"] == "stopping":
                    # It will be back in a moment; so will we.
                    raise ConnectionResetError(answer["error"])
                self.close()
                raise PublishRefusedError(answer["error"], answer["code"])
            receipts.append(Receipt(answer["id"], answer["sequence"], answer["topic"]))

    def close(self) -> None:
        """Disconnect; the next publish connects again."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def publish(topic: str, payload: bytes | str, *, path: str = SOCKET_FILE, **options: Any) -> Receipt:
    """Hand one message to the agent, and return when it is durable.

    Args:
        topic: Under the device's prefix, which is put in front unless it is there.
        payload: At most 128 KiB; text is sent as UTF-8.
        path: The agent's socket.
        **options: As for `Publisher.publish`.

    Returns:
        The receipt.

    Raises:
        PublishRefusedError: The agent does not take it.
        AgentNotRunningError: No agent answers.
    """
    with Publisher(path) as publisher:
        return publisher.publish(topic, payload, **options)


def subscribe(topic_filter: str, *, path: str = SOCKET_FILE, absolute: bool = False) -> Iterator[ReceivedMessage]:
    """Listen to a topic filter. The agent subscribes for you, now and after each reconnect.

    What arrives while nobody listens is not kept.

    Args:
        topic_filter: Under the device's prefix, which is put in front unless it is there; may hold + and #.
        path: The agent's socket.
        absolute: Whether to take the filter as it is.

    Yields:
        The messages.

    Raises:
        PublishRefusedError: AWS IoT or the agent refuses the filter.
        AgentNotRunningError: No agent is running, or it ended.
    """
    with Channel(path, timeout=None) as channel:
        channel.send({"command": "subscribe", "filter": topic_filter, "absolute": absolute})
        while True:
            try:
                event = channel.receive()
            except ConnectionError as error:
                raise AgentNotRunningError(f"the agent has ended: {error}") from error
            if event.get("event") == "message":
                payload = event["payload"].encode() if "payload" in event else base64.b64decode(event["payloadBase64"])
                yield ReceivedMessage(event["topic"], payload, event["properties"])
            elif event.get("event") == "refused" or event.get("ok") is False:
                raise PublishRefusedError(event["error"], event.get("code", "invalid"))


def _base64(payload: bytes) -> str:
    return base64.b64encode(payload).decode("ascii")
