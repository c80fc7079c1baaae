"""A plain awsiotsdk program, as the walk-through's sample was: it knows nothing of this project.

It connects, subscribes, publishes ``Hello World! [N]`` and waits for as many messages, by MQTT 3.1.1 or 5; the last
line of its output is one JSON object: ``connected``, ``received``, ``error``, ``reasonCode``, ``rtts`` (seconds from
each publish to its PUBACK).
"""

import argparse
import json
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any

from awscrt import mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder

_TIMEOUT = 60


class Outcome:
    """What came of it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.connected = False
        self.received: list[str] = []
        self.error: str | None = None
        self.reason_code: int | None = None
        self.rtts: list[float] = []
        self.complete = threading.Event()

    def take(self, payload: bytes) -> None:
        """Note a message that came back."""
        self.received.append(payload.decode())
        if len(self.received) >= self.count:
            self.complete.set()

    def show(self) -> str:
        """Return the outcome as JSON."""
        return json.dumps(
            {
                "connected": self.connected,
                "received": self.received,
                "error": self.error,
                "reasonCode": self.reason_code,
                "rtts": self.rtts,
            }
        )


def _messages(count: int) -> list[str]:
    return [json.dumps(f"Hello World! [{number}]") for number in range(1, count + 1)]


def _common(arguments: argparse.Namespace) -> dict[str, Any]:
    common = {
        "endpoint": arguments.endpoint,
        "cert_filepath": arguments.cert,
        "pri_key_filepath": arguments.key,
        "client_id": arguments.client_id,
        "port": arguments.port,
        "keep_alive_secs": 30,
    }
    return {**common, "ca_filepath": arguments.ca} if arguments.ca else common


def run_mqtt3(arguments: argparse.Namespace, outcome: Outcome) -> None:
    """Do it by MQTT 3.1.1."""
    connection = mqtt_connection_builder.mtls_from_path(
        **_common(arguments), clean_session=True, ping_timeout_ms=20_000, protocol_operation_timeout_ms=60_000
    )
    connection.connect().result(_TIMEOUT)
    outcome.connected = True
    subscribed, _ = connection.subscribe(
        arguments.topic, mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: outcome.take(payload)
    )
    subscribed.result(_TIMEOUT)
    for message in _messages(arguments.count):
        started = time.perf_counter()
        published, _ = connection.publish(arguments.topic, message, mqtt.QoS.AT_LEAST_ONCE)
        published.result(_TIMEOUT)
        outcome.rtts.append(time.perf_counter() - started)
    outcome.complete.wait(_TIMEOUT)
    connection.disconnect().result(_TIMEOUT)


def run_mqtt5(arguments: argparse.Namespace, outcome: Outcome) -> None:
    """Do it by MQTT 5."""
    connected: Future[None] = Future()

    def failed(data: Any) -> None:
        if data.connack_packet is not None:
            outcome.reason_code = int(data.connack_packet.reason_code)
        if not connected.done():
            connected.set_exception(data.exception)

    def succeeded(_: mqtt5.LifecycleConnectSuccessData) -> None:
        if not connected.done():
            connected.set_result(None)

    client = mqtt5_client_builder.mtls_from_path(
        **_common(arguments),
        on_publish_received=lambda data: outcome.take(data.publish_packet.payload),
        on_lifecycle_connection_success=succeeded,
        on_lifecycle_connection_failure=failed,
    )
    client.start()
    try:
        connected.result(_TIMEOUT)
        outcome.connected = True
        subscription = mqtt5.Subscription(arguments.topic, mqtt5.QoS.AT_LEAST_ONCE)
        subscribed = client.subscribe(mqtt5.SubscribePacket([subscription])).result(_TIMEOUT)
        outcome.reason_code = max(int(code) for code in subscribed.reason_codes)
        if outcome.reason_code >= 0x80:
            return
        for message in _messages(arguments.count):
            started = time.perf_counter()
            packet = mqtt5.PublishPacket(payload=message, topic=arguments.topic, qos=mqtt5.QoS.AT_LEAST_ONCE)
            published = client.publish(packet).result(_TIMEOUT)
            outcome.rtts.append(time.perf_counter() - started)
            outcome.reason_code = int(published.puback.reason_code)
            if outcome.reason_code >= 0x80:
                return
        outcome.complete.wait(_TIMEOUT)
    finally:
        client.stop()


def main() -> None:
    """Run once and print the outcome."""
    parser = argparse.ArgumentParser()
    for name in ("endpoint", "cert", "key", "client-id", "topic"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--ca")
    parser.add_argument("--port", type=int, default=8883)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--mqtt", choices=("3", "5"), default="5")
    arguments = parser.parse_args()
    outcome = Outcome(arguments.count)
    try:
        {"3": run_mqtt3, "5": run_mqtt5}[arguments.mqtt](arguments, outcome)
    except Exception as error:  # noqa: BLE001 (the outcome is what the program is for)
        outcome.error = f"{type(error).__name__}: {error}"
    sys.stdout.write(outcome.show() + "\n")


if __name__ == "__main__":
    main()
