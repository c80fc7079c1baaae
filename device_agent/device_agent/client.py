"""The Python API for programs on the device: hand messages to the agent, and listen to what comes in.

    from device_agent import Publisher, publish, subscribe

    publish("telemetry", b'{"celsius": 21.5}')

    with Publisher() as publisher:
        publisher.publish("telemetry", b'{"celsius": 21.5}')

    for message in subscribe("commands/#"):
        print(message.topic, message.payload)

A publish returns when the message is on disk, not when AWS IoT has it: the agent sees to the rest, through outages and
reboots. A message may arrive twice; receivers tell by its id. Three things end one that was accepted before AWS IoT has
it, and each is counted in `device-agent status`: the queue is full and drops its oldest (256 MiB, unless the agent is
set to refuse instead), it has waited too long (30 days), or AWS IoT refuses it again and again: it is then kept as a
dead letter, of which the oldest give way (an eighth of the queue's size).
"""

from __future__ import annotations

import base64
import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from device_agent._exceptions import DeviceAgentError

AGENT_SOCKET = "/run/private-iot/agent.sock"
TIMEOUT = 30.0
"""Seconds to keep trying while the agent is away, and to wait for an answer."""
_TOGETHER = 500
_TOGETHER_BYTES = 256 * 1024
"""The most messages, and bytes beyond the first, of one request."""
_Asked = TypeVar("_Asked", dict[str, Any], dict[str, Any] | None)


class AgentNotRunningError(DeviceAgentError):
    """No agent listens on the socket.

    Attributes:
        receipts: Of the messages that are durable all the same: the first ones of those handed over.
    """

    exit_code = 3
    receipts: list[Receipt] = []  # noqa: RUF012 - replaced, never changed


class PublishRefusedError(DeviceAgentError):
    """The agent did not accept a message. Neither it nor one after it was queued.

    Attributes:
        code: `invalid`, `forbidden`, `full` (the queue's limit), `storage` (the disk) or `internal`.
        receipts: Of the messages before it, which are durable.
    """

    def __init__(self, message: str, code: str, receipts: Sequence[Receipt] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.receipts = list(receipts)


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
    """A connection to the agent's socket: JSON lines both ways, and bytes after a request's line."""

    def __init__(self, path: str = AGENT_SOCKET, *, timeout: float | None = TIMEOUT) -> None:
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
        self._version: int | None = None
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

    @property
    def version(self) -> int:
        """The protocol's version that the agent speaks; see `device_agent.daemon.local_socket`."""
        if self._version is None:
            answer = self.ask({"command": "protocol"})
            self._version = int(answer["version"]) if answer["ok"] else 1
        return self._version

    def ask(self, request: dict[str, Any], body: bytes = b"") -> dict[str, Any]:
        """Send a request and wait for its answer; for connections that listen to nothing."""
        self.send(request, body=body)
        return self.receive()

    def send(self, *requests: dict[str, Any], body: bytes = b"") -> None:
        """Send requests, and what follows the last one."""
        self._socket.sendall(b"".join(json.dumps(request).encode() + b"\n" for request in requests) + body)

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

    def __init__(self, path: str = AGENT_SOCKET, *, timeout: float = TIMEOUT, patience: float | None = None) -> None:
        """Prepare.

        Args:
            path: The agent's socket.
            timeout: Seconds to keep trying while the agent is away, and to wait for an answer.
            patience: The name that the release before gave `timeout`; programs on devices pass it.
        """
        self._path = path
        self._timeout = timeout if patience is None else patience
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

        Raises:
            PublishRefusedError: The agent does not take it: a bad topic, a full queue, a full disk.
            AgentNotRunningError: No agent answered in time. Whether the message is durable is not known.
        """
        options = _options(retain=retain, content_type=content_type, absolute=absolute)
        return self._publish_one(topic, id or str(uuid.uuid4()), payload, options)

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
            PublishRefusedError: The agent did not take one of them. Its `receipts` are those of the messages before
                it, which are durable; it and all after it are not queued.
            AgentNotRunningError: No agent answered in time. Its `receipts` are those of the messages that are durable;
                of as many as go together after them (500) it is not known, all later ones are not queued.
        """
        options = _options(retain=retain, content_type=content_type, absolute=absolute)
        payloads = [payload.encode() if isinstance(payload, str) else payload for _topic, payload in messages]
        # The ids stay the same when it is tried again, so that whoever receives both copies can tell.
        batch = uuid.uuid4()
        names = [f"{batch}-{number}" for number in range(len(messages))] if ids is None else list(ids)
        receipts: list[Receipt] = []
        try:
            while len(receipts) < len(messages):
                start = len(receipts)
                end = _end(payloads, start)
                self._publish_together(
                    [topic for topic, _payload in messages[start:end]],
                    names[start:end],
                    payloads[start:end],
                    options,
                    receipts,
                )
        except PublishRefusedError as error:
            raise PublishRefusedError(str(error), error.code, [*receipts, *error.receipts]) from None
        except AgentNotRunningError as error:
            error.receipts = receipts
            raise
        return receipts

    def _publish_together(
        self,
        topics: list[str],
        ids: list[str],
        payloads: list[bytes],
        options: dict[str, Any],
        receipts: list[Receipt],
    ) -> None:
        body = b"".join(payloads)
        sizes = [len(payload) for payload in payloads]
        request = {"command": "publish-many", "topics": topics, "ids": ids, "sizes": sizes, "bodyBytes": len(body)}

        def ask(channel: Channel) -> dict[str, Any] | None:
            return channel.ask(request | options, body) if channel.version > 1 else None

        answer = self._until_answered(ask)
        if answer is None:
            # An agent of an earlier release, which has not been started again since.
            for topic, id_, payload in zip(topics, ids, payloads, strict=True):
                receipts.append(self._publish_one(topic, id_, payload, options))
            return
        first, whole = answer.get("sequence", 0), answer.get("topics", {})
        durable = zip(ids[: answer.get("count", 0)], topics, strict=False)
        receipts += [Receipt(id_, first + place, whole[topic]) for place, (id_, topic) in enumerate(durable)]
        if not answer["ok"]:
            raise PublishRefusedError(answer["error"], answer["code"])

    def _publish_one(self, topic: str, id_: str, payload: bytes | str, options: dict[str, Any]) -> Receipt:
        content = {"payload": payload} if isinstance(payload, str) else {"payloadBase64": _base64(payload)}
        request = {"command": "publish", "topic": topic, "id": id_, **content, **options}
        answer = self._until_answered(lambda channel: channel.ask(request))
        if not answer["ok"]:
            raise PublishRefusedError(answer["error"], answer["code"])
        return Receipt(answer["id"], answer["sequence"], answer["topic"])

    def _until_answered(self, ask: Callable[[Channel], _Asked]) -> _Asked:
        """Ask over whatever connection can be had, again and again while the agent is away."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                if self._channel is None:
                    self._channel = Channel(self._path, timeout=self._timeout)
                answer = ask(self._channel)
                if answer is None or answer["ok"] or answer["code"] != "stopping":
                    return answer
                raise ConnectionResetError(answer["error"])
            except (OSError, AgentNotRunningError) as error:
                self.close()
                if time.monotonic() >= deadline:
                    raise AgentNotRunningError(f"the agent does not answer: {error}") from error
                time.sleep(min(0.5, self._timeout / 10))

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


def publish(topic: str, payload: bytes | str, *, path: str = AGENT_SOCKET, **options: Any) -> Receipt:
    """Hand one message to the agent, and return when it is durable; arguments and errors as for `Publisher.publish`."""
    with Publisher(path) as publisher:
        return publisher.publish(topic, payload, **options)


def subscribe(
    topic_filter: str, *, path: str = AGENT_SOCKET, absolute: bool = False, persistent: bool = False
) -> Iterator[ReceivedMessage]:
    """Listen to a topic filter. The agent subscribes for you, now and after each reconnect.

    Args:
        topic_filter: Under the device's prefix, which is put in front unless it is there; may hold + and #.
        path: The agent's socket.
        absolute: Whether to take the filter as it is.
        persistent: Whether what arrives while this program is not there is kept, by the agent on its disk, and while
            the device is offline by AWS IoT for as long as the session lasts (an hour, unless the agent is set to
            more). A message counts as taken when the next one is asked for: one that the program did not get over
            comes again. One program a filter; `unsubscribe` ends it.

    Yields:
        The messages.

    Raises:
        PublishRefusedError: AWS IoT or the agent refuses the filter.
        AgentNotRunningError: No agent is running, or it ended.
    """
    with Channel(path, timeout=None) as channel:
        kept = {"persistent": True} if persistent else {}
        channel.send({"command": "subscribe", "filter": topic_filter, "absolute": absolute, **kept})
        taken: dict[str, Any] | None = None
        while True:
            try:
                if taken is not None and "number" in taken:
                    channel.send({"command": "acknowledge", "number": taken["number"]})
                taken, event = None, channel.receive()
            except ConnectionError as error:
                raise AgentNotRunningError(f"the agent has ended: {error}") from error
            if event.get("event") == "message":
                payload = event["payload"].encode() if "payload" in event else base64.b64decode(event["payloadBase64"])
                yield ReceivedMessage(event["topic"], payload, event["properties"])
                taken = event
            elif event.get("event") == "refused" or event.get("ok") is False:
                raise PublishRefusedError(event["error"], event.get("code", "invalid"))


def unsubscribe(topic_filter: str, *, path: str = AGENT_SOCKET, absolute: bool = False) -> int:
    """End a persistent subscription, and drop what is kept for it.

    Returns:
        How many messages were dropped.

    Raises:
        PublishRefusedError: There is none.
        AgentNotRunningError: No agent is running.
    """
    with Channel(path) as channel:
        answer = channel.ask({"command": "unsubscribe", "filter": topic_filter, "absolute": absolute})
    if not answer["ok"]:
        raise PublishRefusedError(answer["error"], answer["code"])
    return int(answer["messages"])


def _options(*, retain: bool, content_type: str | None, absolute: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"retain": True} if retain else {}
    if content_type is not None:
        options["contentType"] = content_type
    if absolute:
        options["absolute"] = True
    return options


def _end(payloads: Sequence[bytes], start: int) -> int:
    """Find where the messages end that go together from a place on: at least one."""
    end, size = start + 1, len(payloads[start])
    while end < min(len(payloads), start + _TOGETHER) and (size := size + len(payloads[end])) <= _TOGETHER_BYTES:
        end += 1
    return end


def _base64(payload: bytes) -> str:
    return base64.b64encode(payload).decode("ascii")
