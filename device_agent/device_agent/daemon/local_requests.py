"""What local programs ask for through the socket, and what they are told of what comes in."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable
from typing import Any

from device_agent._exceptions import DeviceAgentError
from device_agent.daemon.access import Access
from device_agent.daemon.local_socket import Answer, Client, RequestError
from device_agent.daemon.loop import Loop
from device_agent.daemon.persistent import PersistentSubscriptions, Subscriber, Taker
from device_agent.daemon.queue import Queue
from device_agent.daemon.queue_file import Stored
from device_agent.daemon.received import Received
from device_agent.messages import (
    Draft,
    MessageError,
    QueueFullError,
    QueueStorageError,
    check_draft,
    check_label,
    check_payload,
)
from device_agent.topics import check_filter, complete_topic, matches

PROTOCOL = 2
MAX_FILTERS = 50
"""AWS IoT's "Subscriptions per connection" (https://docs.aws.amazon.com/general/latest/gr/iot-core.html)."""
MAX_MESSAGES = 1000
"""Messages of one publish-many."""


class LocalRequests:
    """Serves local programs. All calls on the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        queue: Queue,
        subscriber: Subscriber,
        access: Access,
        *,
        prefix: str,
        status: Callable[[], dict[str, Any]],
    ) -> None:
        """Prepare; the socket calls `handle` and `left`, the connection `received` and `subscribed`.

        Args:
            loop: The loop.
            queue: Where messages go.
            subscriber: Where subscriptions go.
            access: Who may use which topics.
            prefix: The device's topic prefix.
            status: Gives the agent's status.
        """
        self._loop = loop
        self._queue = queue
        self._subscriber = subscriber
        self._access = access
        self._prefix = prefix
        self._status = status
        self._listeners: dict[Taker, list[str]] = {}
        self.persistent = PersistentSubscriptions(loop, queue, subscriber, _event)
        self.stopping = False

    def handle(self, client: Client, request: dict[str, Any], body: bytes, answer: Answer) -> None:
        """Do what a request asks for.

        Args:
            client: Who asks.
            request: The request.
            body: What followed it.
            answer: Called once with the answer.

        Raises:
            DeviceAgentError: It is not done; the reason is the answer.
        """
        match request.get("command"):
            case "publish":
                self._publish(client, request, answer)
            case "publish-many":
                self._publish_many(client, request, body, answer)
            case "subscribe":
                self._subscribe(client, request, answer)
            case "acknowledge":
                self.persistent.acknowledge(client, _number(request), answer)
            case "unsubscribe":
                topic_filter = self._topic(request, _required_text(request, "filter"))
                self._access.check_subscribe(client, topic_filter)
                self.persistent.unsubscribe(topic_filter, answer)
            case "try-forbidden-address":
                answer({"ok": True, "answer": self._loop.system.try_forbidden_address()})
            case "status":
                answer({"ok": True, "status": self._status()})
            case "protocol":
                answer({"ok": True, "version": PROTOCOL})
            case "retry-dead-letters":
                self._access.check_manage(client)
                self._queue.requeue_dead_letters(
                    lambda stored: self._loop.hand_over(
                        lambda: answer(_failure(stored.error) or {"ok": True, "messages": stored.durable})
                    )
                )
            case command:
                raise DeviceAgentError(
                    f"the command {str(command)[:40]!r} is not known; there are publish, publish-many, subscribe,"
                    " unsubscribe, acknowledge, status, protocol and retry-dead-letters"
                )

    # Publishing

    def _publish(self, client: Client, request: dict[str, Any], answer: Answer) -> None:
        self._check_running()
        draft = Draft(
            topic=self._topic(request, _required_text(request, "topic")),
            payload=read_payload(request),
            id=_required_text(request, "id") if "id" in request else str(uuid.uuid4()),
            retain=request.get("retain") is True,
            content_type=_required_text(request, "contentType") if "contentType" in request else None,
        )
        check_draft(draft)
        self._access.check_publish(client, draft.topic)

        def stored(result: Stored) -> None:
            document = _failure(result.error) or {
                "ok": True,
                "id": draft.id,
                "sequence": result.first,
                "topic": draft.topic,
            }
            self._loop.hand_over(lambda: answer(document))

        self._queue.put([draft], stored)

    def _publish_many(self, client: Client, request: dict[str, Any], body: bytes, answer: Answer) -> None:
        self._check_running()
        topics, ids, sizes = (_items(request, name) for name in ("topics", "ids", "sizes"))
        if not len(topics) == len(ids) == len(sizes) or sum(sizes) != len(body):
            raise DeviceAgentError(
                f"{len(topics)} topics, {len(ids)} ids, {len(sizes)} sizes of {sum(sizes)} bytes and a body of"
                f" {len(body)} bytes do not fit each other"
            )
        whole: dict[str, str] = {}
        drafts, at = [], 0
        error: DeviceAgentError | None = None
        retain = request.get("retain") is True
        content_type = _required_text(request, "contentType") if "contentType" in request else None
        for topic, id_, size in zip(topics, ids, sizes, strict=True):
            draft = Draft(
                topic=whole.get(topic, ""),
                payload=body[at : at + size],
                id=id_,
                retain=retain,
                content_type=content_type,
            )
            try:
                if topic not in whole:
                    draft.topic = self._topic(request, topic)
                    check_draft(draft)
                    self._access.check_publish(client, draft.topic)
                    whole[topic] = draft.topic
                else:
                    check_payload(draft.payload)
                    check_label("id", id_)
            except DeviceAgentError as refusal:
                # Those before it are queued, as if they had come one by one; none after it is.
                error = refusal
                break
            at += size
            drafts.append(draft)

        def stored(result: Stored) -> None:
            document = _failure(result.error or error) or {"ok": True}
            document |= {"sequence": result.first, "count": result.durable, "topics": whole}
            self._loop.hand_over(lambda: answer(document))

        if drafts:
            self._queue.put(drafts, stored)
        else:
            stored(Stored(0, 0))

    def _check_running(self) -> None:
        if self.stopping:
            raise RequestError("the agent is about to end; try again in a while", "stopping")

    def _topic(self, request: dict[str, Any], topic: str) -> str:
        return complete_topic(topic, self._prefix, absolute=request.get("absolute") is True)

    # Listening

    def _subscribe(self, client: Client, request: dict[str, Any], answer: Answer) -> None:
        topic_filter = self._topic(request, _required_text(request, "filter"))
        check_filter(topic_filter)
        self._access.check_subscribe(client, topic_filter)
        filters = {item for listening in self._listeners.values() for item in listening} | self.persistent.filters
        if topic_filter not in filters and len(filters) >= MAX_FILTERS:
            raise DeviceAgentError(
                f"{topic_filter!r} would be a filter more than the {MAX_FILTERS} that AWS IoT takes of a connection"
            )
        if request.get("persistent") is True:
            self.persistent.subscribe(client, topic_filter, answer)
            return
        self._listeners.setdefault(client, []).append(topic_filter)
        self._subscriber.subscribe(topic_filter)
        answer({"ok": True, "filter": topic_filter, "connected": self._subscriber.connected})

    def left(self, client: Client) -> None:
        """Forget a client that has gone."""
        self.persistent.left(client)
        for topic_filter in self._listeners.pop(client, ()):
            self._subscriber.unsubscribe(topic_filter)

    def received(
        self,
        topic: str,
        payload: bytes,
        properties: dict[str, str],
        acknowledge: Callable[[], None] = lambda: None,
    ) -> None:
        """Hand a message to those who listen, and keep it for those who subscribe persistently.

        Args:
            topic: Its topic.
            payload: Its payload.
            properties: Its user properties.
            acknowledge: Answers AWS IoT.
        """
        self.persistent.received(topic, payload, properties, acknowledge)
        event = _event(Received(number=0, topic=topic, payload=payload, properties=properties))
        for client, filters in list(self._listeners.items()):
            if any(matches(topic_filter, topic) for topic_filter in filters):
                client.send(event)

    def subscribed(self, topic_filter: str, refusal: str | None) -> None:
        """Tell those who wait for it what AWS IoT says to a subscription.

        Args:
            topic_filter: The filter.
            refusal: Why AWS IoT refused it, or None.
        """
        event = {"event": "subscribed", "filter": topic_filter}
        if refusal is not None:
            event = {"event": "refused", "filter": topic_filter, "error": f"'{topic_filter}': {refusal}"}
        for client in list(self._clients()):
            if topic_filter in self._listeners.get(client, ()) or self.persistent.listens(client, topic_filter):
                client.send(event)

    def _clients(self) -> set[Taker]:
        return self._listeners.keys() | self.persistent.clients()


def _event(message: Received) -> dict[str, Any]:
    return {
        "event": "message",
        "topic": message.topic,
        **write_payload(message.payload),
        "properties": message.properties,
    }


def read_payload(request: dict[str, Any]) -> bytes:
    """Take the payload out of a publish request.

    Raises:
        MessageError: There is none, or two, or it is malformed.
    """
    text, encoded = request.get("payload"), request.get("payloadBase64")
    if isinstance(text, str) and encoded is None:
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise MessageError("payload holds half a surrogate pair; send it as payloadBase64") from None
    if isinstance(encoded, str) and text is None:
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise MessageError("payloadBase64 is not base64") from None
    raise MessageError("a publish needs either payload (text) or payloadBase64")


def write_payload(payload: bytes) -> dict[str, str]:
    """Write a payload as `payload` if it is text, and as `payloadBase64` otherwise."""
    try:
        return {"payload": payload.decode()}
    except UnicodeDecodeError:
        return {"payloadBase64": base64.b64encode(payload).decode("ascii")}


def _failure(error: DeviceAgentError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    if isinstance(error, QueueFullError):
        code = "full"
    elif isinstance(error, QueueStorageError):
        code = "storage"
    else:
        code = getattr(error, "code", "invalid")
    return {"ok": False, "code": code, "error": str(error)}


def _items(request: dict[str, Any], name: str) -> list[Any]:
    value = request.get(name)
    wanted = int if name == "sizes" else str
    if not isinstance(value, list) or not 0 < len(value) <= MAX_MESSAGES:
        raise DeviceAgentError(f"{name} is not a list of 1 to {MAX_MESSAGES}")
    if any(type(item) is not wanted for item in value) or (wanted is int and min(value) < 0):
        raise DeviceAgentError(f"{name} holds something that is no {'number' if wanted is int else 'text'}")
    return value


def _number(request: dict[str, Any]) -> int:
    value = request.get("number")
    if type(value) is not int or not 0 < value < 1 << 63:
        raise DeviceAgentError("number is missing or not the number of a message")
    return value


def _required_text(request: dict[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise DeviceAgentError(f"{name} is missing or not text")
    return value
