"""Between the broker on this device and AWS IoT: what programs publish there goes into the queue, and back.

The broker is answered by PUBACK when a message is in the queue and on the disk, no sooner. A full queue, or a disk that
refuses, so makes the broker keep what comes, within its own limits. What AWS IoT sends is kept on the disk as for any
program with a persistent subscription, until the broker has answered for it.
"""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError

from device_agent._exceptions import DeviceAgentError
from device_agent.daemon.local_requests import read_payload
from device_agent.daemon.loop import Loop
from device_agent.daemon.persistent import PersistentSubscriptions
from device_agent.daemon.queue import Queue
from device_agent.daemon.queue_file import Stored
from device_agent.local_broker.client import MAX_PACKET, RECEIVE_MAXIMUM
from device_agent.local_broker.session import KnownFilters
from device_agent.local_broker.topic_maps import TopicMaps, find_map
from device_agent.messages import MAX_ID, Draft, check_draft
from device_agent.mqtt import explain_error, explain_reason
from device_agent.system import System

TOGETHER = 64
"""The most messages that go into the queue in one transaction."""
RETRY = 1.0
"""Seconds between tries to put what a full queue, or the disk, has refused."""
MAX_WAITING = 2 * RECEIVE_MAXIMUM * MAX_PACKET
"""Bytes of messages that wait for the queue: those of one connection, and of the one before that broke. Beyond it those
of QoS 0 are dropped."""

BuildClient = Callable[..., mqtt5.Client]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    draft: Draft
    acknowledge: Callable[[], None] | None


class LocalBroker:
    """The agent as the broker's client. All calls on the loop's thread.

    Attributes:
        peer: What local programs are told of who takes a filter's messages.
    """

    peer = "the local MQTT broker"

    def __init__(
        self,
        system: System,
        loop: Loop,
        queue: Queue,
        persistent: PersistentSubscriptions,
        *,
        maps: TopicMaps,
        known: KnownFilters,
        build: BuildClient,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            system: The clock.
            loop: The loop.
            queue: Where the broker's messages go.
            persistent: Where what AWS IoT sends is kept.
            maps: Which topics are which.
            known: The filters of the run before, which may be others.
            build: Builds a client of the broker, given its callbacks.
        """
        self._system = system
        self._loop = loop
        self._queue = queue
        self._persistent = persistent
        self._maps = maps
        self._known = known
        self._build = build
        self._client: mqtt5.Client | None = None
        self._connection = 0
        self._waiting: deque[_Waiting] = deque()
        self._waiting_size = 0
        self._putting = 0
        self._paused = False
        self._handed_out: dict[int, dict[str, Any]] = {}
        self._counts = dict.fromkeys(("queued", "refused", "dropped", "published"), 0)
        self._subscriptions_stand = not maps.publish
        self.connected = False
        self.since: float | None = None
        self.last_error: str | None = None
        self.full: str | None = None

    def start(self) -> None:
        """Begin to connect, and to take what AWS IoT sends.

        Raises:
            DeviceAgentError: The client cannot be built.
        """

        def hand_over(call: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda data: self._loop.hand_over(lambda: call(data))

        def received(data: mqtt5.PublishReceivedData) -> None:
            # Within the callback, or the SDK acknowledges by itself; there is nothing to acknowledge of QoS 0.
            take_over = data.acquire_publish_acknowledgement_control
            handle = take_over() if take_over is not None else None
            self._loop.hand_over(lambda: self._received(data.publish_packet, handle))

        wanted = {item.source for item in self._maps.subscribe}
        for topic_filter in set(self._known.subscribe) - wanted:
            with suppress(DeviceAgentError):
                self._persistent.unsubscribe(topic_filter, lambda _answer: None)
        if not (self._maps.publish or wanted):
            self._known.remember([], [])
            return
        self._client = self._build(
            on_publish_received=received,
            on_connection_success=hand_over(self._succeeded),
            on_connection_failure=hand_over(self._failed),
            on_disconnection=hand_over(self._disconnected),
        )
        self._client.start()
        for topic_filter in sorted(wanted):
            self._subscribe(topic_filter)

    def stop(self) -> None:
        """Disconnect; what is not in the queue stays with the broker."""
        if self._client is not None:
            self._client.stop(mqtt5.DisconnectPacket())
            self._client = None

    def status(self) -> dict[str, Any]:
        """Say how it is; for `device-agent status`."""
        return {
            "connected": self.connected and self._subscriptions_stand,
            "since": self.since,
            "lastError": self.last_error,
            "waiting": len(self._waiting),
            "held": self.full,
            **self._counts,
        }

    # The connection

    def _succeeded(self, _data: mqtt5.LifecycleConnectSuccessData) -> None:
        if self._client is None:
            return
        self._connection += 1
        self.connected, self.since, self.last_error = True, self._system.now(), None
        _log.info("connected to the local MQTT broker")
        wanted = [item.source for item in self._maps.publish]
        stale = [item for item in self._known.publish if item not in wanted]
        if stale:
            self._client.unsubscribe(mqtt5.UnsubscribePacket(topic_filters=stale))
        if wanted:
            packet = mqtt5.SubscribePacket(subscriptions=[_subscription(item) for item in wanted])
            future = self._client.subscribe(packet)
            future.add_done_callback(lambda done: self._loop.hand_over(lambda: self._subscribed(wanted, done)))
        self._known.remember(wanted, [item.source for item in self._maps.subscribe])
        for document in self._handed_out.values():
            self._publish(document)

    def _subscribed(self, filters: Sequence[str], done: Future[mqtt5.SubackPacket]) -> None:
        error = done.exception()
        if error is not None:
            return  # The connection has ended; the next one asks again.
        self._subscriptions_stand = True
        for topic_filter, code in zip(filters, done.result().reason_codes, strict=False):
            if code >= 0x80:
                self._complain(f"the broker refuses the subscription to {topic_filter!r}: {explain_reason(int(code))}")

    def _failed(self, data: mqtt5.LifecycleConnectFailureData) -> None:
        connack = data.connack_packet
        refusal = connack is not None and connack.reason_code
        self._complain(explain_reason(int(refusal)) if refusal else explain_error(data.exception))

    def _disconnected(self, data: mqtt5.LifecycleDisconnectData) -> None:
        self.connected, self.since = False, self._system.now()
        self._subscriptions_stand = not self._maps.publish
        if self._client is not None:
            self._complain(explain_error(data.exception))
        # What is here is kept, though the broker sends it again: one that was killed does not know of it any more.
        self._connection += 1

    def _complain(self, error: str) -> None:
        if error != self.last_error:
            _log.warning("local MQTT broker: %s", error)
        self.last_error = error

    # From the broker into the queue

    def _received(self, packet: mqtt5.PublishPacket, handle: mqtt5.PublishAcknowledgementControlHandle | None) -> None:
        acknowledge = partial(self._acknowledge, self._connection, handle) if handle is not None else None
        try:
            draft = self._draft(packet)
        except DeviceAgentError as error:
            # Without an answer the broker would send it for ever.
            self._counts["refused"] += 1
            _log.warning("local MQTT broker: a message to %r is not taken: %s", packet.topic[:80], error)
            if acknowledge is not None:
                acknowledge()
            return
        if self._waiting_size + draft.size > MAX_WAITING or (self.full and acknowledge is None):
            # Of QoS 1 the broker sends it again with the next connection.
            self._counts["dropped"] += acknowledge is None
            return
        self._waiting.append(_Waiting(draft, acknowledge))
        self._waiting_size += draft.size
        self._put()

    def _draft(self, packet: mqtt5.PublishPacket) -> Draft:
        found = find_map(self._maps.publish, packet.topic)
        if found is None:
            raise DeviceAgentError("no line of mqtt.publish asks for it any more")
        draft = Draft(
            topic=found.translate(packet.topic),
            payload=_payload(packet),
            id=_id(packet),
            retain=packet.retain is True,
            content_type=_label(packet.content_type),
        )
        check_draft(draft)
        return draft

    def _put(self) -> None:
        if self._putting or self._paused or not self._waiting:
            return
        batch = [item.draft for item in islice(self._waiting, TOGETHER)]
        self._putting = len(batch)
        self._queue.put(batch, lambda stored: self._loop.hand_over(lambda: self._stored(stored)), make_room=False)

    def _stored(self, stored: Stored) -> None:
        self._putting = 0
        for _durable in range(stored.durable):
            item = self._waiting.popleft()
            self._waiting_size -= item.draft.size
            if item.acknowledge is not None:
                item.acknowledge()
        self._counts["queued"] += stored.durable
        if stored.error is None:
            self.full = None
            self._put()
            return
        if self.full is None:
            _log.warning("local MQTT broker: nothing more is acknowledged for now: %s", stored.error)
        self.full = str(stored.error)
        self._paused = True
        self._loop.call_later(RETRY, self._resume)

    def _resume(self) -> None:
        self._paused = False
        self._put()

    def _acknowledge(self, connection: int, handle: mqtt5.PublishAcknowledgementControlHandle) -> None:
        # A connection that has ended meanwhile forgets it, and the broker sends the message again.
        if self._client is not None and connection == self._connection:
            with suppress(AwsCrtError):
                self._client.invoke_publish_acknowledgement(handle)

    # From AWS IoT to the broker

    def _subscribe(self, topic_filter: str) -> None:
        def answered(answer: Mapping[str, Any]) -> None:
            if not answer["ok"]:
                self._complain(f"{topic_filter!r}: {answer['error']}")
                self._loop.call_later(RETRY, lambda: self._subscribe(topic_filter))

        try:
            self._persistent.subscribe(self, topic_filter, answered)
        except DeviceAgentError as error:
            self._complain(str(error))

    def send(self, document: dict[str, Any], /) -> None:
        """Take what AWS IoT sent: publish it at the broker, now or when it is back."""
        if document.get("event") != "message":
            if document.get("event") == "refused":
                self._complain(f"AWS IoT: {document['error']}")
            return
        self._handed_out[document["number"]] = document
        if self.connected:
            self._publish(document)

    def _publish(self, document: dict[str, Any]) -> None:
        found = find_map(self._maps.subscribe, document["topic"])
        if self._client is None or found is None:
            return
        packet = mqtt5.PublishPacket(
            topic=found.translate(document["topic"]),
            payload=read_payload(document),
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            user_properties=[mqtt5.UserProperty(*item) for item in document["properties"].items()],
        )
        future = self._client.publish(packet)
        future.add_done_callback(lambda done: self._loop.hand_over(lambda: self._published(document, done)))

    def _published(self, document: dict[str, Any], done: Future[mqtt5.PublishCompletionData]) -> None:
        if done.exception() is not None or self._handed_out.pop(document["number"], None) is None:
            return  # It stays handed out, and goes out over the next connection; or an earlier attempt was answered.
        code = int(done.result().puback.reason_code)
        if code >= 0x80:
            self._counts["refused"] += 1
            self._complain(f"the broker refuses a message to {document['topic'][:80]!r}: {explain_reason(code)}")
        else:
            self._counts["published"] += 1
        self._persistent.acknowledge(self, document["number"], lambda _answer: None)


def _subscription(topic_filter: str) -> mqtt5.Subscription:
    return mqtt5.Subscription(
        topic_filter=topic_filter,
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        no_local=True,
        retain_as_published=True,
        # What the broker retains is published once, when the line is new, and not with every connection.
        retain_handling_type=mqtt5.RetainHandlingType.SEND_ON_SUBSCRIBE_IF_NEW,
    )


def _payload(packet: mqtt5.PublishPacket) -> bytes:
    payload = packet.payload or b""
    return payload.encode() if isinstance(payload, str) else bytes(payload)


def _id(packet: mqtt5.PublishPacket) -> str:
    """Give the publisher's own `message-id`, by which receivers know a duplicate, or a new one."""
    given = next((item.value for item in packet.user_properties or [] if item.name == "message-id"), None)
    return _label(given) or str(uuid.uuid4())


def _label(text: str | None) -> str | None:
    return text if text and len(text) <= MAX_ID and text.isascii() and text.isprintable() else None
