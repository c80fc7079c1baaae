"""The device SDK's real clients, led to one of the gateway's addresses."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from awscrt import http, mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder

from tests.path.gateway.authority import Credential
from tests.path.gateway.stack import DEADLINE, ENDPOINT, PORT, Stack, Tunnel


def mqtt_3(stack: Stack, way: Tunnel, credential: Credential, client_id: str, **options: Any) -> mqtt.Connection:
    """An MQTT 3.1.1 connection, not yet connected."""
    return mqtt_connection_builder.mtls_from_path(
        endpoint=ENDPOINT,
        port=PORT,
        cert_filepath=str(credential.certificate_file),
        pri_key_filepath=str(credential.private_key_file),
        ca_filepath=str(stack.authority.root_file),
        client_id=client_id,
        clean_session=True,
        keep_alive_secs=30,
        http_proxy_options=http.HttpProxyOptions("127.0.0.1", way.port),
        **options,
    )


class Mqtt5:
    """An MQTT 5 client and what its callbacks were told."""

    def __init__(self, stack: Stack, way: Tunnel, credential: Credential, client_id: str, **options: Any) -> None:
        self.connected: Future[mqtt5.LifecycleConnectSuccessData] = Future()
        self.failed: Future[mqtt5.LifecycleConnectFailureData] = Future()
        self.disconnected: Future[mqtt5.LifecycleDisconnectData] = Future()
        self.stopped = threading.Event()
        self.messages: list[mqtt5.PublishPacket] = []
        self.ten = threading.Event()
        self.client = mqtt5_client_builder.mtls_from_path(
            endpoint=ENDPOINT,
            port=PORT,
            cert_filepath=str(credential.certificate_file),
            pri_key_filepath=str(credential.private_key_file),
            ca_filepath=str(stack.authority.root_file),
            client_id=client_id,
            http_proxy_options=http.HttpProxyOptions("127.0.0.1", way.port),
            on_lifecycle_connection_success=lambda data: _once(self.connected, data),
            on_lifecycle_connection_failure=lambda data: _once(self.failed, data),
            on_lifecycle_disconnection=lambda data: _once(self.disconnected, data),
            on_lifecycle_stopped=lambda _: self.stopped.set(),
            on_publish_received=self._received,
            **options,
        )

    def _received(self, data: mqtt5.PublishReceivedData) -> None:
        self.messages.append(data.publish_packet)
        if len(self.messages) == 10:
            self.ten.set()

    def publish(self, topic: str, payload: str) -> mqtt5.PublishCompletionData:
        """Publish with QoS 1 and wait for the PUBACK."""
        packet = mqtt5.PublishPacket(topic=topic, payload=payload.encode(), qos=mqtt5.QoS.AT_LEAST_ONCE)
        return self.client.publish(packet).result(DEADLINE)

    def subscribe(self, *filters: str) -> list[mqtt5.SubackReasonCode]:
        """Subscribe with QoS 1 and wait for the SUBACK."""
        wanted = [mqtt5.Subscription(topic_filter=item, qos=mqtt5.QoS.AT_LEAST_ONCE) for item in filters]
        codes: list[mqtt5.SubackReasonCode] = (
            self.client.subscribe(mqtt5.SubscribePacket(subscriptions=wanted)).result(DEADLINE).reason_codes
        )
        return codes


def _once(future: "Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)


@contextmanager
def mqtt_5(stack: Stack, way: Tunnel, credential: Credential, client_id: str, **options: Any) -> Iterator[Mqtt5]:
    """A started MQTT 5 client, stopped at the end."""
    client = Mqtt5(stack, way, credential, client_id, **options)
    client.client.start()
    try:
        yield client
    finally:
        client.client.stop()
        assert client.stopped.wait(DEADLINE)
