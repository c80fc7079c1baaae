"""Persistent subscriptions of local programs: what comes in for them waits on the disk until a program has taken it.

AWS IoT keeps what comes in while the device is offline as long as its session lasts, and is answered by PUBACK only
when a message is on the disk here. One program at a time takes the messages of a filter; it acknowledges each, and what
it has not acknowledged when it goes is handed to the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from device_agent._exceptions import DeviceAgentError
from device_agent.daemon import received
from device_agent.daemon.local_socket import Answer, RequestError
from device_agent.daemon.loop import Loop
from device_agent.daemon.queue import Queue
from device_agent.daemon.queue_file import Stored
from device_agent.daemon.received import Received
from device_agent.topics import matches

HANDED_OUT = 20
"""Messages that a program may have without acknowledging one."""


class Subscriber(Protocol):
    """Subscribes to topic filters of AWS IoT, as the connection does."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""

    def subscribe(self, topic_filter: str, /) -> None:
        """Subscribe for as long as it is not unsubscribed, over this connection and all later ones."""

    def unsubscribe(self, topic_filter: str, /) -> None:
        """Take back one `subscribe`."""

    def keep_session(self, *, wanted: bool) -> None:
        """Have AWS IoT keep the session while the device is offline, or not."""


class Taker(Protocol):
    """Takes what comes in for a filter: a local program, or the local broker. One is itself only: no two are equal."""

    @property
    def peer(self) -> str:
        """Who it is, for people."""

    def send(self, document: dict[str, Any], /) -> None:
        """Tell it something."""


@dataclass(slots=True)
class _Taking:
    client: Taker
    cursor: int = 0
    handed_out: set[int] = field(default_factory=set)


class PersistentSubscriptions:
    """Serves programs that subscribe so. All calls on the loop's thread."""

    def __init__(
        self, loop: Loop, queue: Queue, subscriber: Subscriber, event: Callable[[Received], dict[str, Any]]
    ) -> None:
        """Take up the subscriptions that are in the file.

        Args:
            loop: The loop.
            queue: Where messages are kept.
            subscriber: Where subscriptions go.
            event: Writes a message as a program is told of it.
        """
        self._loop = loop
        self._queue = queue
        self._subscriber = subscriber
        self._event = event
        self._takers: dict[str, _Taking] = {}
        self.filters = set(queue.persistent_filters())
        for topic_filter in sorted(self.filters):
            subscriber.subscribe(topic_filter)
        if self.filters:
            subscriber.keep_session(wanted=True)

    def subscribe(self, client: Taker, topic_filter: str, answer: Answer) -> None:
        """Make a program the one that takes what comes in for a filter, now and later.

        Raises:
            RequestError: Another one does.
        """
        if topic_filter in self._takers:
            raise RequestError(
                f"{self._takers[topic_filter].client.peer} takes what comes in for {topic_filter!r}", "taken"
            )
        self._takers[topic_filter] = _Taking(client)

        def subscribed(stored: Stored) -> None:
            if stored.error is not None:
                self._takers.pop(topic_filter, None)
                answer({"ok": False, "code": "storage", "error": str(stored.error)})
                return
            if topic_filter not in self.filters:
                self.filters.add(topic_filter)
                self._subscriber.subscribe(topic_filter)
                self._subscriber.keep_session(wanted=True)
            answer({"ok": True, "filter": topic_filter, "connected": self._subscriber.connected})
            self._hand_out(topic_filter)

        if topic_filter in self.filters:
            subscribed(Stored(0, 1))
        else:
            self._change(lambda file: received.subscribe(file, topic_filter), subscribed)

    def unsubscribe(self, topic_filter: str, answer: Answer) -> None:
        """End a persistent subscription and drop what was kept for it.

        Raises:
            DeviceAgentError: There is none.
        """
        if topic_filter not in self.filters:
            raise DeviceAgentError(f"{topic_filter!r} is no persistent subscription")

        def unsubscribed(stored: Stored) -> None:
            if stored.error is not None:
                answer({"ok": False, "code": "storage", "error": str(stored.error)})
                return
            if topic_filter in self.filters:
                self.filters.discard(topic_filter)
                self._takers.pop(topic_filter, None)
                self._subscriber.unsubscribe(topic_filter)
                self._subscriber.keep_session(wanted=bool(self.filters))
            answer({"ok": True, "messages": stored.durable})

        self._change(lambda file: received.unsubscribe(file, topic_filter), unsubscribed)

    def acknowledge(self, client: Taker, number: int, answer: Answer) -> None:
        """Remove a message that a program has taken, and hand out the next.

        Raises:
            DeviceAgentError: The program was not handed such a message.
        """
        found = [
            topic_filter
            for topic_filter, taker in self._takers.items()
            if taker.client is client and number in taker.handed_out
        ]
        if not found:
            raise DeviceAgentError(f"message {number} was not handed out to this program, or is acknowledged")
        self._takers[found[0]].handed_out.discard(number)

        def taken(stored: Stored) -> None:
            error = stored.error
            answer({"ok": True} if error is None else {"ok": False, "code": "storage", "error": str(error)})

        self._change(lambda file: received.take(file, number), taken)
        self._hand_out(found[0])

    def left(self, client: Taker) -> None:
        """Forget a program that has gone: the next one gets what it has not acknowledged."""
        for topic_filter in [name for name, taker in self._takers.items() if taker.client is client]:
            del self._takers[topic_filter]

    def clients(self) -> set[Taker]:
        """Give the programs that take something."""
        return {taker.client for taker in self._takers.values()}

    def listens(self, client: Taker, topic_filter: str) -> bool:
        """Tell whether a program takes what comes in for a filter."""
        taker = self._takers.get(topic_filter)
        return taker is not None and taker.client is client

    def received(self, topic: str, payload: bytes, properties: dict[str, str], acknowledge: Callable[[], None]) -> None:
        """Keep a message that a filter asks for; AWS IoT is answered when it is on the disk.

        Args:
            topic: Its topic.
            payload: Its payload.
            properties: Its user properties.
            acknowledge: Answers AWS IoT. Without it AWS IoT sends the message again over the next connection.
        """
        wanted = [topic_filter for topic_filter in self.filters if matches(topic_filter, topic)]
        if not wanted:
            acknowledge()
            return

        def kept(stored: Stored) -> None:
            if stored.error is None:
                acknowledge()
                for topic_filter in wanted:
                    self._hand_out(topic_filter)

        self._change(lambda file: received.keep(file, wanted, topic, payload, properties), kept)

    def _change(self, apply: Callable[[Any], int], done: Callable[[Stored], None]) -> None:
        self._queue.change(apply, lambda stored: self._loop.hand_over(lambda: done(stored)))

    def _hand_out(self, topic_filter: str) -> None:
        taker = self._takers.get(topic_filter)
        if taker is None:
            return
        room = HANDED_OUT - len(taker.handed_out)
        for message in self._queue.read_received(topic_filter, taker.cursor, room) if room > 0 else ():
            taker.cursor = message.number
            taker.handed_out.add(message.number)
            taker.client.send({**self._event(message), "number": message.number})
