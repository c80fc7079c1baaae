"""The one connection to AWS IoT: made, checked, watched and made again.

Each attempt builds a client of its own with a resolver of its own; the SDK's automatic reconnect is not used, since it
would go on with old addresses and old certificates. The SDK's callbacks only hand over to the loop. Nothing is tried
while the path is known to be dead, so that an attempt can begin in the moment it returns; attempts that fail on a
living path back off with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError

from device_agent._exceptions import AddressError, DeviceAgentError
from device_agent.addresses import outside
from device_agent.daemon.delivery import Delivery
from device_agent.daemon.exchange import Exchange
from device_agent.daemon.loop import Loop, Timer
from device_agent.daemon.packets import StatusMessage, explain_disconnection
from device_agent.daemon.path_monitor import PathMonitor
from device_agent.daemon.subscriptions import Subscriptions
from device_agent.installation import Installation
from device_agent.mqtt import CONNECT_TIMEOUT, PORT, build_client, explain_error, explain_failure
from device_agent.system import System
from device_agent.tcp import TcpConnection, bind_connections, list_connections

FIRST_DELAY = 0.5
LONGEST_DELAY = 20.0
"""Seconds: the upper ends of the first and of every late random delay."""
STEADY_AFTER = 30.0
"""Seconds that a connection must stand before the delays begin anew."""
ATTEMPT_TIMEOUT = 3.0 * CONNECT_TIMEOUT
"""Seconds for everything from TCP to CONNACK; the SDK's own TLS time-out is longer."""
HANDSHAKE_TIMEOUT = 10.0
"""Seconds without anything new for TLS and CONNACK once TCP stands. Of a server's certificate that it does not accept
the SDK tells 13 to 21 s later (measured; s2n-tls delays an error by 10 to 30 s, "blinding"): a device would wait that
long."""
CHECK_FIRST = 0.02
CHECK_EVERY = 60.0
"""Seconds between looks at the connection's peer, while it is made and when it stands: the peer of one that stands
does not change."""
NO_ANSWER_FROM_SDK = 24 * 3600
"""Seconds, in place of the SDK's own time-out for PUBACK: `Liveness` judges by what the line carries."""
SESSION_EXPIRY = 3600
"""Seconds that AWS IoT keeps a session by default; seven days at most
(https://docs.aws.amazon.com/general/latest/gr/iot-core.html, "Persistent session expiry period")."""
BuildClient = Callable[..., mqtt5.Client]
OnMessage = Callable[[str, bytes, dict[str, str], Callable[[], None]], None]
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
        on_subscribed: Callable[[str, str | None], None],
        more_status: Callable[[], Mapping[str, Any]] = dict,
        build: BuildClient = build_client,
        look: Callable[[int], list[TcpConnection]] = list_connections,
        bind: Callable[[str], int] = bind_connections,
        port: int = PORT,
        session_expiry: int = SESSION_EXPIRY,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            system: The machine.
            loop: The loop.
            installation: The device's identity.
            monitor: Knows whether the path is there.
            delivery: Sends the queue over the connection.
            queue_id: Gives the name of the queue's file, which is sent with each message.
            on_message: Called with topic, payload and user properties of each message received, and with what answers
                AWS IoT; without that, AWS IoT sends the message again over the next connection.
            on_subscribed: Called with a topic filter and None, or the reason that AWS IoT refused it.
            more_status: Gives what the status message says besides that the device is there.
            build: Builds a client.
            look: Lists this process's connections to a port.
            bind: Ties this process's connections to an interface.
            port: AWS IoT's port.
            session_expiry: Seconds that AWS IoT keeps a session for, where one is wanted.
        """
        self._system = system
        self._loop = loop
        self._installation = installation
        self._monitor = monitor
        self._delivery = delivery
        self._queue_id = queue_id
        self._on_message = on_message
        self._build = build
        self._look = look
        self._bind = bind
        self._cannot_bind = False
        self._port = port
        self._session_expiry = session_expiry
        self._session_wanted = self._session_refused = False
        self._client: mqtt5.Client | None = None
        self._ending: dict[int, mqtt5.Client] = {}
        self._attempt = 0
        self._building = False
        self._timers: list[Timer] = []
        self._next: Timer | None = None
        self._stopping = False
        self._subscriptions = Subscriptions(on_subscribed)
        self._status = StatusMessage()
        self._status.more = more_status
        self._exchange: Exchange | None = None
        self._handshake: tuple[int, float] | None = None
        self._one_at_a_time = False
        # The process before this one may have been killed.
        self._ended_without_goodbye = True
        self.since: float | None = None
        self.peers: list[str] = []
        self.failures = 0
        self.wrong_addresses = 0
        self.connections = 0
        self.last_error: str | None = None
        self.last_error_at: float | None = None

    @property
    def connected(self) -> bool:
        """Whether AWS IoT has accepted the connection."""
        return self._exchange is not None

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

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe for as long as it is not unsubscribed, over this connection and all later ones."""
        if self._subscriptions.add(topic_filter) and self._exchange is not None:
            self._exchange.subscribe(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        """Take back one `subscribe`."""
        if self._subscriptions.remove(topic_filter) and self._exchange is not None:
            self._exchange.unsubscribe(topic_filter)

    def say_online(self) -> None:
        """Publish the status anew, since `more_status` has changed."""
        if self._exchange is not None:
            self._exchange.say_online()

    @property
    def keeps_session(self) -> bool:
        """Whether AWS IoT is asked to keep the session while the device is offline."""
        return self._session_wanted and not self._session_refused

    def keep_session(self, *, wanted: bool) -> None:
        """Have AWS IoT keep the session while the device is offline, or not: connect anew if that changes."""
        if wanted == self._session_wanted:
            return
        self._session_wanted = wanted
        if self._client is not None:
            _log.info("connecting anew %s a persistent session", "with" if wanted else "without")
            self._drop("the session changes", error=False, goodbye=True)
            self._schedule(0.0)

    def ping(self) -> None:
        """Ask AWS IoT for a sign of life now; `look` drops the connection if there is none."""
        if self._exchange is not None:
            self._exchange.ping()

    def look(self) -> None:
        """Drop the connection if it is dead. To be called every second."""
        dead = self._exchange.find_death(lambda: self._look(self._port)) if self._exchange is not None else None
        if dead:
            self._drop(dead)

    def stop(self, done: Callable[[], None]) -> None:
        """Say goodbye and disconnect.

        Args:
            done: Called when it is done.
        """
        self._stopping = True
        self._cancel()
        if self._exchange is None:
            self._drop("stopped", error=False)
            done()
            return

        def leave() -> None:
            self._drop("stopped", error=False, goodbye=True)
            # The client sends DISCONNECT on its own thread; without it the last will would be published.
            self._loop.call_later(0.3, done)

        self._exchange.say_offline(leave)

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
        attempt, session = self._attempt, self.keeps_session
        self._building = True

        def hand_over(call: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda data: self._loop.hand_over(lambda: call(data) if attempt == self._attempt else None)

        def received(data: mqtt5.PublishReceivedData) -> None:
            # AWS IoT is answered when the message is where it is to be kept; without a session by the SDK, at once.
            take_over = data.acquire_publish_acknowledgement_control if session else None
            handle = take_over() if take_over is not None else None
            self._loop.hand_over(lambda: self._received(data, handle) if attempt == self._attempt else None)

        def build() -> mqtt5.Client:
            return self._build(
                self._system,
                self._installation,
                port=self._port,
                will=self._status.last_will(self._installation, self._system.now()),
                min_reconnect_delay=60,
                max_reconnect_delay=60,
                ack_timeout=NO_ANSWER_FROM_SDK,
                session_expiry=self._session_expiry if session else 0,
                on_publish_received=received,
                on_connection_success=hand_over(self._succeeded),
                on_connection_failure=hand_over(self._failed),
                on_disconnection=hand_over(self._disconnected),
                on_stopped=lambda _data: self._loop.hand_over(lambda: self._ending.pop(attempt, None)),
            )

        self._loop.in_background(build, lambda result: self._built(result, session=session))

    def _built(self, result: mqtt5.Client | Exception, *, session: bool) -> None:
        self._building = False
        if self._stopping:
            return
        self.wrong_addresses = self.wrong_addresses + 1 if isinstance(result, AddressError) else 0
        if isinstance(result, Exception):
            if not isinstance(result, DeviceAgentError):
                _log.error("the client cannot be built", exc_info=result)
            self._fail(str(result) if isinstance(result, DeviceAgentError) else explain_error(result))
            return
        if not self._monitor.usable():
            self._fail(self._monitor.reason)
            return
        if session != self.keeps_session:
            self._schedule(0.0)
            return
        self._client = result
        self._timers = [self._loop.call_later(ATTEMPT_TIMEOUT, lambda: self._drop("no connection in time"))]
        self._watch_peer(CHECK_FIRST)
        result.start()

    def _watch_peer(self, delay: float) -> None:
        def look() -> None:
            if self._client is None:
                return
            connections = self._check_peer()
            if connections is None or (not self.connected and not self._handshake_goes_on(connections)):
                return
            self._watch_peer(CHECK_EVERY if self.connected else min(delay * 1.2, 0.5))

        self._timers = [timer for timer in self._timers if timer.call is not None]
        self._timers.append(self._loop.call_later(delay, look))

    def _check_peer(self) -> list[TcpConnection] | None:
        """Tie the connection to the hop, and drop it if its peer is outside the VPC: then None is given."""
        tie = self._monitor.tie
        if tie is not None:
            try:
                self._bind(tie)
            except OSError as error:
                if not self._cannot_bind:
                    _log.warning("the connection cannot be bound to %s: %s", tie, error)
                self._cannot_bind = True
        connections = self._look(self._port)
        self.peers = list(dict.fromkeys(connection.peer for connection in connections))
        foreign = outside(self.peers, self._installation.vpc_cidr)
        if foreign:
            self._drop(
                f"the connection went to {', '.join(foreign)}, outside the VPC's {self._installation.vpc_cidr},"
                " and was dropped"
            )
            return None
        return connections

    def _handshake_goes_on(self, connections: list[TcpConnection]) -> bool:
        """Drop the attempt if TCP stands and nothing new has come for a while; tell whether it may go on."""
        if not connections:
            return True
        now, received = self._system.monotonic(), sum(item.bytes_received for item in connections)
        if self._handshake is None or self._handshake[0] != received:
            self._handshake = received, now
        if now - self._handshake[1] <= HANDSHAKE_TIMEOUT:
            return True
        if received:
            self._drop(
                "TCP stands, but TLS and CONNECT came to no end in time: check the clock and the root certificate"
            )
        else:
            self._drop(
                "TCP stands, but TLS gets no answer: the line may drop large packets; `device-agent doctor` proves it"
            )
        return False

    def _succeeded(self, data: mqtt5.LifecycleConnectSuccessData) -> None:
        if self._client is None or self._check_peer() is None:
            return
        if not self.peers:
            self._drop("the connection's peer cannot be seen, so that nothing proves that it is inside the VPC")
            return
        self._cancel()
        self.connections += 1
        self.since = self._system.now()
        self._watch_peer(CHECK_EVERY)
        self._timers.append(self._loop.call_later(STEADY_AFTER, self._steady))
        _log.info("connected to %s (%s)", self._installation.endpoint, ", ".join(self.peers))
        self._exchange = Exchange(
            self._system,
            self._loop,
            self._client,
            self._installation,
            monitor=self._monitor,
            delivery=self._delivery,
            status=self._status,
            subscriptions=self._subscriptions,
            queue_id=self._queue_id,
            one_at_a_time=self._one_at_a_time,
            say_online_again=self._ended_without_goodbye,
        )
        self._one_at_a_time = self._ended_without_goodbye = False
        self._exchange.open(data.negotiated_settings.receive_maximum_from_server or 65_535)

    def _steady(self) -> None:
        self.failures = 0

    def _failed(self, data: mqtt5.LifecycleConnectFailureData) -> None:
        if data.connack_packet is not None:
            self._monitor.evidence()
            if data.connack_packet.reason_code == mqtt5.ConnectReasonCode.NOT_AUTHORIZED:
                self._ask_for_less()
        self._drop(explain_failure(data))

    def _ask_for_less(self) -> None:
        """Ask for no session, or for one again with less of a status message: the policy may not allow all."""
        if self.keeps_session:
            _log.warning("AWS IoT may refuse the persistent session (iot:ConnectAttributes); trying without one")
            self._session_refused = True
        else:
            self._session_refused = False
            self._status.refused()

    def _disconnected(self, data: mqtt5.LifecycleDisconnectData) -> None:
        by_service, reason = explain_disconnection(data)
        self._drop(f"disconnected: {reason}", hung_up=by_service)

    def _fail(self, reason: str) -> None:
        if reason != self.last_error:
            _log.warning("no connection: %s", reason)
        self.last_error, self.last_error_at = reason, self._system.now()
        self.failures += 1
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self.failures - 1, 10))
        self._schedule(random.uniform(0, longest))  # noqa: S311 - no secret

    def _drop(self, reason: str, *, hung_up: bool = False, error: bool = True, goodbye: bool = False) -> None:
        """End the present client, whatever it is doing, and make the next attempt in a while."""
        self._cancel()
        client, self._client = self._client, None
        exchange, self._exchange = self._exchange, None
        if client is not None:
            # It is kept until it says that it has stopped: its sockets and threads end in between.
            self._ending[self._attempt] = client
            client.stop(mqtt5.DisconnectPacket() if goodbye else None)
        self._attempt += 1
        self.since = None
        self.peers = []
        if exchange is not None:
            self._one_at_a_time = exchange.close(hung_up=hung_up)
            self._ended_without_goodbye = not goodbye
        if error:
            self._fail(reason)

    def _cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        self._handshake = None

    def _received(
        self, data: mqtt5.PublishReceivedData, handle: mqtt5.PublishAcknowledgementControlHandle | None
    ) -> None:
        self._monitor.evidence()
        packet = data.publish_packet
        properties = {item.name: item.value for item in packet.user_properties or []}
        attempt = self._attempt

        def acknowledge() -> None:
            if handle is not None and self._client is not None and attempt == self._attempt:
                # A connection that has ended meanwhile forgets it, and the next one brings the message again.
                with suppress(AwsCrtError):
                    self._client.invoke_publish_acknowledgement(handle)

        self._on_message(packet.topic, packet.payload or b"", properties, acknowledge)
