"""What is asked of AWS IoT over one connection that it has accepted, and what is still without an answer.

The opening is the status message, the subscriptions, then the queue; all at once, but one request at a time after AWS
IoT has hung up on something that nobody knows. What alone was without an answer when it hung up is not asked for again:
a status message, a filter, or a queued message (`Delivery`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError

from device_agent.daemon.delivery import Accepted, Delivery, Lost, Outcome, Refused
from device_agent.daemon.liveness import Liveness
from device_agent.daemon.loop import Loop, Timer
from device_agent.daemon.packets import StatusMessage, outcome_of, publish_packet
from device_agent.daemon.path_monitor import PathMonitor
from device_agent.daemon.subscriptions import Subscriptions
from device_agent.installation import Installation
from device_agent.messages import Message
from device_agent.mqtt import explain_error, explain_reason
from device_agent.system import System
from device_agent.tcp import TcpConnection

ONLINE_AGAIN = 10.0
"""Seconds after which "online" is published once more if the connection before ended without a goodbye: its last will
may come after the first."""

_log = logging.getLogger(__name__)


class Exchange:
    """Requests and answers over one connection. All calls on the loop's thread."""

    def __init__(
        self,
        system: System,
        loop: Loop,
        client: mqtt5.Client,
        installation: Installation,
        *,
        monitor: PathMonitor,
        delivery: Delivery,
        status: StatusMessage,
        subscriptions: Subscriptions,
        queue_id: Callable[[], str],
        one_at_a_time: bool,
        say_online_again: bool,
    ) -> None:
        """Prepare; `open` begins.

        Args:
            system: The clocks.
            loop: The loop.
            client: The SDK's, connected.
            installation: The device's identity.
            monitor: Is told of every sign of life.
            delivery: Sends the queue.
            status: The status message, as far as AWS IoT takes it.
            subscriptions: What local programs listen to.
            queue_id: Gives the name of the queue's file, which is sent with each message.
            one_at_a_time: Whether the opening's requests wait for each other.
            say_online_again: Whether an earlier connection's last will may still come.
        """
        self._system = system
        self._loop = loop
        self._client = client
        self._installation = installation
        self._monitor = monitor
        self._delivery = delivery
        self._status = status
        self._subscriptions = subscriptions
        self._queue_id = queue_id
        self._one_at_a_time = one_at_a_time
        self._say_online_again = say_online_again
        self._again: Timer | None = None
        self._steps: deque[Callable[[], None]] = deque()
        self._closed = False
        self._proven = False
        self._status_unanswered = False
        self._asked_at = system.monotonic()
        self._pinged_at: float | None = None
        self._liveness = Liveness(self._asked_at)

    def open(self, receive_maximum: int) -> None:
        """Say that the device is there, subscribe, and begin to send; up to `receive_maximum` at once."""
        self._monitor.evidence()
        filters = self._subscriptions.to_ask()
        self._steps.append(self._say_online if self._status.published else self.ping)
        self._steps.extend(partial(self.subscribe, topic_filter) for topic_filter in filters)
        self._steps.append(partial(self._deliver, receive_maximum))
        self._go_on()

    def close(self, *, hung_up: bool) -> bool:
        """Take note of the connection's end.

        Args:
            hung_up: Whether AWS IoT ended it, for a reason that a request may have given.

        Returns:
            Whether the next connection has to make its requests one at a time.
        """
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        status, filters = self._status_unanswered, len(self._subscriptions.unanswered)
        others = self._delivery.in_flight + (self._pinged_at is not None)
        if hung_up and status and not filters and not others:
            self._status.hung_up(self._system.now())
        self._subscriptions.disconnected(blame=hung_up and filters == 1 and not status and not others)
        self._delivery.disconnected(hung_up=hung_up and not status and not filters and self._pinged_at is None)
        return hung_up and (status or filters > 0)

    def find_death(self, look: Callable[[], Sequence[TcpConnection]]) -> str | None:
        """Tell why the connection is dead, if it is.

        Args:
            look: Asks the kernel what it knows of the connection; not called while nothing is without an answer.
        """
        if self._nothing_asked() and self._pinged_at is None:
            return None
        heard_at = self._liveness.heard_at
        dead = self._liveness.look(
            look(),
            self._system.monotonic(),
            asked_at=None if self._nothing_asked() else self._asked_at,
            pinged_at=self._pinged_at,
        )
        self._monitor.expect_answers_after(self._liveness.round_trip)
        if self._liveness.heard_at > heard_at:
            self._monitor.evidence()
        return dead

    def ping(self) -> None:
        """Ask for a sign of life now.

        The SDK sends PINGREQ at its own times only. UNSUBSCRIBE from what was never subscribed is answered all the
        same, with UNSUBACK (MQTT 5, section 3.11), and needs no permission.
        """
        if self._pinged_at is not None:
            return
        self._pinged_at = self._system.monotonic()

        def answered(future: Future[mqtt5.UnsubackPacket]) -> None:
            if future.exception() is None:
                self._loop.hand_over(pong)

        def pong() -> None:
            if not self._closed:
                self._pinged_at = None
                self._take_life()
                if self._nothing_asked():
                    self._go_on()

        packet = mqtt5.UnsubscribePacket(topic_filters=[f"{self._installation.topic_prefix}/ping"])
        try:
            self._client.unsubscribe(packet).add_done_callback(answered)
        except AwsCrtError as error:
            _log.warning("no ping can be sent: %s", explain_error(error))

    def subscribe(self, topic_filter: str) -> None:
        """Ask for a filter."""
        self._ask()
        self._subscriptions.asked(topic_filter)
        packet = mqtt5.SubscribePacket(
            subscriptions=[mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS.AT_LEAST_ONCE)]
        )

        def answered(future: Future[mqtt5.SubackPacket]) -> None:
            if future.exception() is not None:
                return
            code = future.result().reason_codes[0]
            refused = code is None or int(code) >= 0x80
            reason = explain_reason(0x80 if code is None else int(code), None) if refused else None
            self._loop.hand_over(lambda: take(reason))

        def take(reason: str | None) -> None:
            if not self._closed:
                self._subscriptions.answered(topic_filter, reason)
                self._take_answer()

        try:
            self._client.subscribe(packet).add_done_callback(answered)
        except (AwsCrtError, TypeError, ValueError) as error:
            take(explain_error(error))

    def unsubscribe(self, topic_filter: str) -> None:
        """Ask for a filter no longer."""
        self._client.unsubscribe(mqtt5.UnsubscribePacket(topic_filters=[topic_filter]))

    def say_offline(self, done: Callable[[], None]) -> None:
        """Publish that the device goes; `done` is called once with the answer, or at once where none is published."""
        if not self._status.published:
            done()
            return
        packet = self._status.packet(self._installation, "offline", self._system.now(), reason="stopped")
        self._publish(packet, lambda _outcome: done())

    def say_online(self) -> None:
        """Publish anew that the device is there, since there is more to say."""
        if self._status_unanswered:
            self._say_online_again = True
        elif self._status.published:
            self._say_online()

    # The opening

    def _go_on(self) -> None:
        while self._steps:
            self._steps.popleft()()
            if self._one_at_a_time and self._steps:
                return

    def _say_online(self) -> None:
        self._ask()
        self._status_unanswered = True

        def answered(outcome: Outcome) -> None:
            if self._closed or isinstance(outcome, Lost):
                return
            self._status_unanswered = False
            if isinstance(outcome, Accepted):
                self._status.accepted(self._system.now())
            else:
                _log.warning("the status message is refused: %s", outcome.reason)
            if self._say_online_again:
                self._say_online_again = False
                self._again = self._loop.call_later(ONLINE_AGAIN, self._say_online)
            self._take_answer()

        self._publish(self._status.packet(self._installation, "online", self._system.now()), answered)

    def _deliver(self, receive_maximum: int) -> None:
        self._delivery.connected(self._send, receive_maximum)
        if self._proven:
            self._delivery.proven()

    # Requests and answers

    def _send(self, message: Message, done: Callable[[Outcome], None]) -> None:
        if self._delivery.in_flight == 1 and not self._status_unanswered and not self._subscriptions.unanswered:
            self._asked_at = self._system.monotonic()
        self._publish(publish_packet(message, self._queue_id()), done)

    def _publish(self, packet: mqtt5.PublishPacket, done: Callable[[Outcome], None]) -> None:
        try:
            future = self._client.publish(packet)
        except (AwsCrtError, TypeError, ValueError) as error:
            refused = Refused(explain_error(error))
            self._loop.hand_over(lambda: done(refused))
            return
        future.add_done_callback(lambda done_future: self._loop.hand_over(lambda: self._answered(done_future, done)))

    def _answered(self, future: Future[mqtt5.PublishCompletionData], done: Callable[[Outcome], None]) -> None:
        if future.exception() is None:
            self._asked_at = self._system.monotonic()
            self._monitor.evidence()
        done(outcome_of(future))

    def _nothing_asked(self) -> bool:
        return not (self._delivery.in_flight or self._status_unanswered or self._subscriptions.unanswered)

    def _ask(self) -> None:
        """Note when the first request was made that is without an answer."""
        if self._nothing_asked():
            self._asked_at = self._system.monotonic()

    def _take_answer(self) -> None:
        self._asked_at = self._system.monotonic()
        self._take_life()
        self._go_on()

    def _take_life(self) -> None:
        self._monitor.evidence()
        if not self._proven:
            self._proven = True
            self._delivery.proven()
