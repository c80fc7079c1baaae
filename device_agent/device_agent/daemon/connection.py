"""The one connection to AWS IoT: made, guarded, watched and made again.

Each attempt builds a client of its own with a resolver of its own; the SDK's automatic reconnect is not used, since it
would go on with old addresses and old certificates. The SDK's callbacks only hand over to the loop. Nothing is tried
while the path is known to be dead, so that an attempt can begin in the moment it returns; attempts that fail on a
living path back off with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError

from device_agent._exceptions import DeviceAgentError
from device_agent.addresses import outside, peers
from device_agent.daemon.binding import bind_connections
from device_agent.daemon.delivery import Accepted, Delivery, Lost, Outcome, Refused
from device_agent.daemon.loop import Loop, Timer
from device_agent.daemon.packets import StatusMessage, explain_disconnection, outcome_of, publish_packet
from device_agent.daemon.path_monitor import PathMonitor
from device_agent.installation import Installation
from device_agent.messages import Message
from device_agent.mqtt import CONNECT_TIMEOUT, PORT, build_client, explain_error, explain_failure, explain_reason
from device_agent.system import System

FIRST_DELAY = 0.5
LONGEST_DELAY = 20.0
"""Seconds: the upper ends of the first and of every late random delay."""
STEADY_AFTER = 30.0
"""Seconds that a connection must stand before the delays begin anew."""
ATTEMPT_TIMEOUT = 2.5 * CONNECT_TIMEOUT
"""Seconds for everything from TCP to CONNACK; the SDK's own TLS time-out is longer."""
HANDSHAKE_TIMEOUT = 10.0
"""Seconds for TLS and CONNACK once TCP stands. Of a server's certificate that it does not accept the SDK tells 13 to
21 s later (measured; s2n-tls delays an error by 10 to 30 s, "blinding"): a device would wait that long."""
GUARD_FIRST = 0.02
GUARD_EVERY = 60.0
"""Seconds between looks at the connection's peer, while it is made and when it stands: the peer of one that stands
does not change, and the kernel's table takes milliseconds to read."""
LATE = 2.0
"""Seconds without PUBACK after which the path is looked at."""
PING_WITHIN = 3.0
"""Seconds for the answer to a ping."""
BuildClient = Callable[..., mqtt5.Client]
OnMessage = Callable[[str, bytes, dict[str, str]], None]
OnSubscribed = Callable[[str, str | None], None]
_log = logging.getLogger(__name__)


class Connection:
    """Keeps one connection up. All calls on the loop's thread."""

    def __init__(
        self,
        system: System,
        loop: Loop,
        installation: Installation,
        monitor: PathMonitor,
        delivery: Delivery,
        *,
        queue_id: Callable[[], str],
        on_message: OnMessage,
        on_subscribed: OnSubscribed,
        build: BuildClient = build_client,
        find_peers: Callable[[int], list[str]] = peers,
        bind: Callable[[str], int] = bind_connections,
        port: int = PORT,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            system: The machine.
            loop: The loop.
            installation: The device's identity; `use` changes it.
            monitor: Knows whether the path is there.
            delivery: Sends the queue over the connection.
            queue_id: Gives the name of the queue's file, which is sent with each message.
            on_message: Called with topic, payload and user properties of each message received.
            on_subscribed: Called with a topic filter and None, or the reason that AWS IoT refused it.
            build: Builds a client.
            find_peers: Lists the addresses that this process is connected to on a port.
            bind: Ties this process's connections to an interface.
            port: AWS IoT's port.
        """
        self._system = system
        self._loop = loop
        self._installation = installation
        self._monitor = monitor
        self._delivery = delivery
        self._queue_id = queue_id
        self._on_message = on_message
        self._on_subscribed = on_subscribed
        self._build = build
        self._find_peers = find_peers
        self._bind = bind
        self._cannot_bind = False
        self._port = port
        self._client: mqtt5.Client | None = None
        self._ending: dict[int, mqtt5.Client] = {}
        self._attempt = 0
        self._building = False
        self._timers: list[Timer] = []
        self._next: Timer | None = None
        self._stopping = False
        self._filters: dict[str, int] = {}
        self._pinging: Timer | None = None
        self._handshake: Timer | None = None
        self._status = StatusMessage()
        self.connected = False
        self.since: float | None = None
        self.peers: list[str] = []
        self.failures = 0
        self.connections = 0
        self.last_error: str | None = None
        self.last_error_at: float | None = None

    # What the daemon asks for

    def start(self) -> None:
        """Begin to connect."""
        self._schedule(0.0)

    def path_is_alive(self) -> None:
        """Connect at once if there is no connection: the path has come back."""
        if self._client is None and not self._building:
            self.failures = 0
            self._schedule(0.0)

    def path_is_dead(self, reason: str) -> None:
        """Drop the connection, which nothing will come through."""
        if self._client is not None:
            self._drop(reason)

    def use(self, installation: Installation) -> None:
        """Connect anew with other certificates.

        Args:
            installation: The installation as it is now.
        """
        self._installation = installation
        if self._client is not None:
            self._drop("the certificates on the device have changed", error=False, goodbye=True)
        self._schedule(0.0)

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe for as long as it is not unsubscribed, over this connection and all later ones."""
        self._filters[topic_filter] = self._filters.get(topic_filter, 0) + 1
        if self.connected and self._filters[topic_filter] == 1:
            self._subscribe(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        """Take back one `subscribe`."""
        self._filters[topic_filter] -= 1
        if self._filters[topic_filter] == 0:
            del self._filters[topic_filter]
            if self.connected and self._client is not None:
                self._client.unsubscribe(mqtt5.UnsubscribePacket(topic_filters=[topic_filter]))

    def stop(self, done: Callable[[], None]) -> None:
        """Say goodbye and disconnect.

        Args:
            done: Called when it is done.
        """
        self._stopping = True
        self._cancel()
        if not self.connected or self._client is None:
            self._drop("stopped", error=False)
            done()
            return

        def leave(_outcome: Outcome) -> None:
            self._drop("stopped", error=False, goodbye=True)
            # The client sends DISCONNECT on its own thread; without it the last will would be published.
            self._loop.call_later(0.3, done)

        self._publish(self._status.packet(self._installation, "offline", self._system.now(), reason="stopped"), leave)

    # Attempts

    def _schedule(self, delay: float) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next = None
        if not self._stopping:
            self._next = self._loop.call_later(delay, self._begin)

    def _begin(self) -> None:
        if self._client is not None or self._building or self._stopping or not self._monitor.usable():
            # The monitor calls when the path is there.
            return
        self._attempt += 1
        attempt = self._attempt
        self._building = True

        def hand_over(call: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda data: self._loop.hand_over(lambda: call(data) if attempt == self._attempt else None)

        def build() -> mqtt5.Client:
            return self._build(
                self._system,
                self._installation,
                port=self._port,
                will=self._status.last_will(self._installation),
                min_reconnect_delay=60,
                max_reconnect_delay=60,
                on_publish_received=hand_over(self._received),
                on_connection_success=hand_over(self._succeeded),
                on_connection_failure=hand_over(self._failed),
                on_disconnection=hand_over(self._disconnected),
                on_stopped=lambda _data: self._loop.hand_over(lambda: self._ending.pop(attempt, None)),
            )

        self._loop.in_background(build, self._built)

    def _built(self, result: mqtt5.Client | Exception) -> None:
        self._building = False
        if self._stopping:
            return
        if isinstance(result, Exception):
            if not isinstance(result, DeviceAgentError):
                _log.error("the client cannot be built", exc_info=result)
            self._fail(str(result) if isinstance(result, DeviceAgentError) else explain_error(result))
            return
        if not self._monitor.usable():
            self._fail(self._monitor.reason)
            return
        self._client = result
        self._timers = [self._loop.call_later(ATTEMPT_TIMEOUT, lambda: self._drop("no connection in time"))]
        self._watch_peer(GUARD_FIRST)
        result.start()

    def _watch_peer(self, delay: float) -> None:
        def look() -> None:
            if self._client is not None and self._guard():
                if self.peers and not self.connected and self._handshake is None:
                    self._handshake = self._loop.call_later(
                        HANDSHAKE_TIMEOUT,
                        lambda: self._drop(
                            "TCP stands, but TLS and CONNECT came to no end in time: check the clock and the root"
                            " certificate"
                        ),
                    )
                    self._timers.append(self._handshake)
                self._watch_peer(GUARD_EVERY if self.connected else min(delay * 1.2, 0.5))

        self._timers = [timer for timer in self._timers if timer.call is not None]
        self._timers.append(self._loop.call_later(delay, look))

    def _guard(self) -> bool:
        """Tie the connection to the tunnel, and drop it if its peer is outside the VPC; tell whether it may stay."""
        if self._monitor.interface is not None:
            try:
                self._bind(self._monitor.interface)
            except OSError as error:
                if not self._cannot_bind:
                    _log.warning("the connection cannot be bound to %s: %s", self._monitor.interface, error)
                self._cannot_bind = True
        self.peers = self._find_peers(self._port)
        strangers = outside(self.peers, self._installation.vpc_cidr)
        if strangers:
            self._drop(
                f"the connection went to {', '.join(strangers)}, outside the VPC's {self._installation.vpc_cidr},"
                " and was dropped"
            )
        return not strangers

    def _succeeded(self, data: mqtt5.LifecycleConnectSuccessData) -> None:
        if self._client is None or not self._guard():
            return
        self._cancel()
        self.connected = True
        self.connections += 1
        self.since = self._system.now()
        self._watch_peer(GUARD_EVERY)
        self._timers.append(self._loop.call_later(STEADY_AFTER, self._steady))
        self._monitor.evidence()
        _log.info("connected to %s (%s)", self._installation.endpoint, ", ".join(self.peers))
        attempt = self._attempt
        online = self._status.packet(self._installation, "online", self._system.now())
        self._publish(online, lambda outcome: self._proven(attempt, outcome))
        for topic_filter in self._filters:
            self._subscribe(topic_filter)
        self._delivery.connected(self._send, data.negotiated_settings.receive_maximum_from_server or 65_535)

    def _steady(self) -> None:
        self.failures = 0

    def _failed(self, data: mqtt5.LifecycleConnectFailureData) -> None:
        if data.connack_packet is not None:
            self._monitor.evidence()
            # AWS IoT refuses CONNECT if the policy does not allow the will: ask for less of one next time.
            self._status.ask_for_less()
        self._drop(explain_failure(data))

    def _disconnected(self, data: mqtt5.LifecycleDisconnectData) -> None:
        by_service, reason = explain_disconnection(data)
        self._drop(f"disconnected: {reason}", by_service=by_service)

    def _fail(self, reason: str) -> None:
        if reason != self.last_error:
            _log.warning("no connection: %s", reason)
        self.last_error, self.last_error_at = reason, self._system.now()
        self.failures += 1
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self.failures - 1, 10))
        self._schedule(random.uniform(0, longest))  # noqa: S311 - no secret

    def _drop(self, reason: str, *, by_service: bool = False, error: bool = True, goodbye: bool = False) -> None:
        """End the present client, whatever it is doing, and make the next attempt in a while."""
        self._cancel()
        client, self._client = self._client, None
        if client is not None:
            # It is kept until it says that it has stopped: its sockets and threads end in between.
            self._ending[self._attempt] = client
            client.stop(mqtt5.DisconnectPacket() if goodbye else None)
        self._attempt += 1
        self.connected = False
        self.since = None
        self.peers = []
        self._delivery.disconnected(by_service=by_service)
        if error:
            self._fail(reason)

    def _cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        self._pinging = self._handshake = None

    # Over the connection

    def _send(self, message: Message, done: Callable[[Outcome], None]) -> None:
        self._publish(publish_packet(message, self._queue_id()), done)

    def _publish(self, packet: mqtt5.PublishPacket, done: Callable[[Outcome], None]) -> None:
        if self._client is None:
            done(Lost("there is no connection", connected=False))
            return
        try:
            future = self._client.publish(packet)
        except (AwsCrtError, TypeError, ValueError) as error:
            refused = Refused(explain_error(error))
            self._loop.hand_over(lambda: done(refused))
            return
        future.add_done_callback(lambda done_future: self._loop.hand_over(lambda: self._answered(done_future, done)))

    def _answered(self, future: Future[mqtt5.PublishCompletionData], done: Callable[[Outcome], None]) -> None:
        if future.exception() is None:
            self._monitor.evidence()
        done(outcome_of(future))

    def ping(self) -> None:
        """Ask AWS IoT for a sign of life now, and drop the connection if there is none.

        The SDK sends PINGREQ at its own times only. UNSUBSCRIBE from what was never subscribed is answered all the
        same, with UNSUBACK (MQTT 5, section 3.11), and needs no permission.
        """
        if not self.connected or self._client is None or self._pinging is not None:
            return
        packet = mqtt5.UnsubscribePacket(topic_filters=[f"{self._installation.topic_prefix}/ping"])
        timer = self._loop.call_later(PING_WITHIN, lambda: self._drop("the path is dead: no answer to a ping"))
        self._pinging = timer
        self._timers.append(timer)

        def answered(future: Future[mqtt5.UnsubackPacket]) -> None:
            if future.exception() is None:
                self._loop.hand_over(pong)

        def pong() -> None:
            timer.cancel()
            if self._pinging is timer:
                self._pinging = None
                self._monitor.evidence()

        try:
            self._client.unsubscribe(packet).add_done_callback(answered)
        except AwsCrtError as error:
            self._drop(explain_error(error))

    def unanswered(self, reason: str) -> None:
        """Drop a connection over which no PUBACK comes."""
        if self._client is not None:
            self._drop(f"AWS IoT does not acknowledge: {reason}")

    def _proven(self, attempt: int, outcome: Outcome) -> None:
        if attempt != self._attempt:
            return
        if isinstance(outcome, Refused):
            _log.warning("the status message is refused: %s", outcome.reason)
        if isinstance(outcome, Accepted | Refused):
            self._delivery.proven()
        elif outcome.connected:
            self.unanswered(outcome.reason)

    def _subscribe(self, topic_filter: str) -> None:
        if self._client is None:
            return
        packet = mqtt5.SubscribePacket(
            subscriptions=[mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS.AT_LEAST_ONCE)]
        )

        def answered(future: Future[mqtt5.SubackPacket]) -> None:
            if future.exception() is not None:
                return
            code = future.result().reason_codes[0]
            refused = code is None or int(code) >= 0x80
            reason = explain_reason(0x80 if code is None else int(code), None) if refused else None
            self._loop.hand_over(lambda: self._on_subscribed(topic_filter, reason))

        try:
            self._client.subscribe(packet).add_done_callback(answered)
        except AwsCrtError as error:
            self._on_subscribed(topic_filter, explain_error(error))

    def _received(self, data: mqtt5.PublishReceivedData) -> None:
        self._monitor.evidence()
        packet = data.publish_packet
        properties = {item.name: item.value for item in packet.user_properties or []}
        self._on_message(packet.topic, packet.payload or b"", properties)
