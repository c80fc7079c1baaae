"""A short MQTT session that waits for each step: for `pubsub`, `doctor` and the trial of a new bundle.

MQTT 5 by default; MQTT 3.1.1 for comparison with the walk-through's client. Both give the same calls and raise the same
error, with what the service's answer means.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Protocol

from awscrt import mqtt, mqtt5
from awscrt.exceptions import AwsCrtError

from device_agent._exceptions import ConnectionFailedError
from device_agent.addresses import refuse_foreign_peers, resolve_inside
from device_agent.installation import Installation
from device_agent.mqtt import (
    ACK_TIMEOUT,
    CONNECT_TIMEOUT,
    KEEP_ALIVE,
    PING_TIMEOUT,
    PORT,
    build_client,
    check_reason,
    client_bootstrap,
    explain_error,
    failure_of,
    tls_context,
)
from device_agent.system import System

# The SDK ends each of its own steps in time; this is for the case that it does not.
_ANSWER_TIMEOUT = 2 * CONNECT_TIMEOUT + ACK_TIMEOUT

OnMessage = Callable[[str, bytes], None]


class Session(Protocol):
    """A connection to AWS IoT whose every call waits for the service's answer."""

    def connect(self) -> list[str]:
        """Connect, and give the peer's addresses, all inside the VPC."""

    def subscribe(self, topic: str, on_message: OnMessage) -> None:
        """Subscribe with QoS 1; `on_message(topic, payload)` is called on another thread."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1 and wait for PUBACK."""

    def disconnect(self) -> None:
        """End the session; harmless if there is none."""


def open_session(system: System, installation: Installation, *, mqtt3: bool = False, port: int = PORT) -> Session:
    """Prepare a session. It is not connected yet.

    Args:
        system: The machine whose resolver is asked.
        installation: The device's identity.
        mqtt3: MQTT 3.1.1 in place of MQTT 5.
        port: 8883, or 443 with ALPN.

    Returns:
        The session.
    """
    return _Session3(system, installation, port) if mqtt3 else Mqtt5Session(system, installation, port)


def echo(session: Session, topic: str) -> float:
    """Publish a message to oneself and wait until it has come back through a subscription.

    Args:
        session: A connected session.
        topic: A topic that the device may publish and subscribe to.

    Returns:
        The seconds from the publish to the message's return.

    Raises:
        ConnectionFailedError: A step was refused, or the message did not come back in time.
    """
    came: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    message = f"echo {uuid.uuid4()}".encode("ascii")
    session.subscribe(topic, lambda _topic, payload: came.put(payload))
    start = time.monotonic()
    session.publish(topic, message)
    while True:
        try:
            payload = came.get(timeout=max(0.0, start + ACK_TIMEOUT - time.monotonic()))
        except queue.Empty:
            raise ConnectionFailedError(
                f"the message published to '{topic}' was accepted but did not come back within {ACK_TIMEOUT} s"
            ) from None
        if payload == message:
            return time.monotonic() - start


class Mqtt5Session:
    """A session of MQTT 5, whose client the SDK's service clients can use."""

    def __init__(self, system: System, installation: Installation, port: int) -> None:
        self._system, self._installation, self._port = system, installation, port
        self._client: mqtt5.Client | None = None
        self._outcome: queue.SimpleQueue[mqtt5.LifecycleConnectFailureData | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._on_message: OnMessage | None = None

    def connect(self) -> list[str]:
        self._client = build_client(
            self._system,
            self._installation,
            port=self._port,
            on_publish_received=self._received,
            on_connection_success=lambda _data: self._outcome.put(None),
            on_connection_failure=self._outcome.put,
            on_stopped=lambda _data: self._stopped.set(),
        )
        self._client.start()
        try:
            failure = self._outcome.get(timeout=_ANSWER_TIMEOUT)
        except queue.Empty:
            raise ConnectionFailedError(
                f"{self._installation.endpoint} did not answer within {_ANSWER_TIMEOUT} s"
            ) from None
        if failure is not None:
            raise failure_of(self._installation.endpoint, failure)
        return refuse_foreign_peers(self._installation, self._port)

    def subscribe(self, topic: str, on_message: OnMessage) -> None:
        self._on_message = on_message
        subscription = mqtt5.Subscription(topic_filter=topic, qos=mqtt5.QoS.AT_LEAST_ONCE)
        what = f"subscribe to '{topic}'"
        suback = _wait(self.client.subscribe(mqtt5.SubscribePacket(subscriptions=[subscription])), what)
        check_reason(what, int(suback.reason_codes[0]), suback.reason_string)

    def publish(self, topic: str, payload: bytes) -> None:
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        what = f"publish to '{topic}'"
        puback = _wait(self.client.publish(packet), what).puback
        check_reason(what, int(puback.reason_code), puback.reason_string)

    def disconnect(self) -> None:
        if self._client is not None:
            self._client.stop(mqtt5.DisconnectPacket())
            self._stopped.wait(CONNECT_TIMEOUT)
            self._client = None

    @property
    def client(self) -> mqtt5.Client:
        """The SDK's client, which is connected.

        Raises:
            ConnectionFailedError: There is no connection.
        """
        if self._client is None:
            raise ConnectionFailedError("there is no connection")
        return self._client

    def _received(self, data: mqtt5.PublishReceivedData) -> None:
        if self._on_message is not None:
            self._on_message(data.publish_packet.topic, data.publish_packet.payload or b"")


class _Session3:
    def __init__(self, system: System, installation: Installation, port: int) -> None:
        self._system, self._installation, self._port = system, installation, port
        self._connection: mqtt.Connection | None = None

    def connect(self) -> list[str]:
        resolve_inside(self._system, self._installation)
        connection = mqtt.Connection(
            mqtt.Client(client_bootstrap(), tls_context(self._installation, self._port)),
            self._installation.endpoint,
            self._port,
            self._installation.client_id,
            clean_session=True,
            keep_alive_secs=KEEP_ALIVE,
            ping_timeout_ms=PING_TIMEOUT * 1000,
            protocol_operation_timeout_ms=ACK_TIMEOUT * 1000,
            disable_metrics=True,
        )
        self._connection = connection
        _wait(connection.connect(), f"connect to {self._installation.endpoint}")
        return refuse_foreign_peers(self._installation, self._port)

    def subscribe(self, topic: str, on_message: OnMessage) -> None:
        def received(topic: str, payload: bytes, **_more: object) -> None:
            on_message(topic, payload)

        future, _packet = self._connected().subscribe(topic, mqtt.QoS.AT_LEAST_ONCE, received)
        what = f"subscribe to '{topic}'"
        granted = _wait(future, what)["qos"]
        if granted is None:
            check_reason(what, 0x80)

    def publish(self, topic: str, payload: bytes) -> None:
        future, _packet = self._connected().publish(topic, payload, mqtt.QoS.AT_LEAST_ONCE)
        _wait(future, f"publish to '{topic}'")

    def disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(AwsCrtError, FutureTimeoutError):
                self._connection.disconnect().result(CONNECT_TIMEOUT)
            self._connection = None

    def _connected(self) -> mqtt.Connection:
        if self._connection is None:
            raise ConnectionFailedError("there is no connection")
        return self._connection


def _wait(future: Future[Any], what: str) -> Any:
    try:
        return future.result(_ANSWER_TIMEOUT)
    except FutureTimeoutError:
        raise ConnectionFailedError(f"cannot {what}: no answer within {_ANSWER_TIMEOUT} s") from None
    except AwsCrtError as error:
        raise ConnectionFailedError(f"cannot {what}: {explain_error(error)}") from error
