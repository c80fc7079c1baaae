"""The walk-through's program with the device SDK's real clients, over the endpoint and over the internet.

What this cannot prove: name resolution and the tunnel, which an HTTP proxy stands in for here; the network's tests have
both.
"""

import threading

import pytest
from awscrt import mqtt, mqtt5
from awscrt.exceptions import AwsCrtError

from tests.path.gateway.authority import Credential
from tests.path.gateway.sdk import mqtt_3, mqtt_5
from tests.path.gateway.stack import DEADLINE, Stack, Tunnel

pytestmark = pytest.mark.path

MESSAGES = [f"Hello World! [{number}]" for number in range(1, 11)]


@pytest.fixture(scope="module")
def credential(stack: Stack) -> Credential:
    """A device under the least-privilege policy."""
    found = stack.device("least-privilege", thing="pi-1")
    stack.reload()
    return found


def test_mqtt_3_publishes_and_receives_the_ten_messages(
    stack: Stack, private_way: Tunnel, credential: Credential
) -> None:
    connection = mqtt_3(stack, private_way, credential, "pi-1")
    connection.connect().result(DEADLINE)
    received: list[str] = []
    complete = threading.Event()

    def on_message(topic: str, payload: bytes, **_: object) -> None:
        assert topic == "device/pi-1/hello"
        received.append(payload.decode())
        if len(received) == len(MESSAGES):
            complete.set()

    subscribed, _ = connection.subscribe("device/pi-1/#", mqtt.QoS.AT_LEAST_ONCE, on_message)
    assert subscribed.result(DEADLINE)["qos"] == mqtt.QoS.AT_LEAST_ONCE
    for message in MESSAGES:
        published, _ = connection.publish("device/pi-1/hello", message, mqtt.QoS.AT_LEAST_ONCE)
        published.result(DEADLINE)
    assert complete.wait(DEADLINE)
    connection.disconnect().result(DEADLINE)
    assert received == MESSAGES


def test_mqtt_5_publishes_and_receives_the_ten_messages(
    stack: Stack, private_way: Tunnel, credential: Credential
) -> None:
    with mqtt_5(stack, private_way, credential, "pi-1") as client:
        settings = client.connected.result(DEADLINE).negotiated_settings
        assert client.subscribe("device/pi-1/#") == [mqtt5.SubackReasonCode.GRANTED_QOS_1]
        for message in MESSAGES:
            assert client.publish("device/pi-1/hello", message).puback.reason_code == mqtt5.PubackReasonCode.SUCCESS
        assert client.ten.wait(DEADLINE)
    assert [packet.payload.decode() for packet in client.messages] == MESSAGES
    assert settings.server_keep_alive_sec == 230  # the SDK asks for 1200
    assert settings.receive_maximum_from_server == 100
    assert settings.maximum_qos == mqtt5.QoS.AT_LEAST_ONCE
    assert settings.maximum_packet_size_to_server == 149504


def test_mqtt_3_is_hung_up_on_over_the_internet(stack: Stack, public_way: Tunnel, credential: Credential) -> None:
    with pytest.raises(AwsCrtError) as caught:
        mqtt_3(stack, public_way, credential, "pi-1").connect().result(DEADLINE)
    assert caught.value.name == "AWS_ERROR_MQTT_UNEXPECTED_HANGUP"  # the walk-through's error


def test_mqtt_5_is_told_not_authorized_over_the_internet(
    stack: Stack, public_way: Tunnel, credential: Credential
) -> None:
    with mqtt_5(stack, public_way, credential, "pi-1") as client:
        refusal = client.failed.result(DEADLINE)
    assert refusal.connack_packet.reason_code == mqtt5.ConnectReasonCode.NOT_AUTHORIZED


def test_the_wrong_client_id_is_hung_up_on(stack: Stack, private_way: Tunnel, credential: Credential) -> None:
    with pytest.raises(AwsCrtError) as caught:
        mqtt_3(stack, private_way, credential, "test-3c246580").connect().result(DEADLINE)
    assert caught.value.name == "AWS_ERROR_MQTT_UNEXPECTED_HANGUP"


def test_a_policy_without_the_condition_opens_the_public_way(stack: Stack, public_way: Tunnel) -> None:
    walked_in = stack.device("open")
    stack.reload()
    connection = mqtt_3(stack, public_way, walked_in, "anyone")
    connection.connect().result(DEADLINE)
    connection.disconnect().result(DEADLINE)


def test_mqtt_5_sees_which_filter_and_which_publish_is_denied(
    stack: Stack, private_way: Tunnel, credential: Credential
) -> None:
    with mqtt_5(stack, private_way, credential, "pi-1") as client:
        client.connected.result(DEADLINE)
        codes = client.subscribe("device/pi-1/#", "device/pi-2/#")
        assert codes == [mqtt5.SubackReasonCode.GRANTED_QOS_1, mqtt5.SubackReasonCode.NOT_AUTHORIZED]
        denied = client.publish("device/pi-2/hello", "no")
        assert denied.puback.reason_code == mqtt5.PubackReasonCode.NOT_AUTHORIZED
        assert client.publish("device/pi-1/hello", "yes").puback.reason_code == mqtt5.PubackReasonCode.SUCCESS


def test_mqtt_3_loses_its_connection_by_a_denied_publish(
    stack: Stack, private_way: Tunnel, credential: Credential
) -> None:
    interrupted: list[AwsCrtError] = []
    event = threading.Event()

    def on_interrupted(error: AwsCrtError, **_: object) -> None:
        interrupted.append(error)
        event.set()

    connection = mqtt_3(
        stack,
        private_way,
        credential,
        "pi-1",
        reconnect_min_timeout_secs=1,
        on_connection_interrupted=lambda connection, error, **_: on_interrupted(error),
    )
    connection.connect().result(DEADLINE)
    connection.publish("device/pi-2/hello", "no", mqtt.QoS.AT_MOST_ONCE)
    assert event.wait(DEADLINE)
    connection.disconnect().result(DEADLINE)
    assert interrupted[0].name == "AWS_ERROR_MQTT_UNEXPECTED_HANGUP"


def test_mqtt_5_is_told_that_its_session_was_taken_over(
    stack: Stack, private_way: Tunnel, credential: Credential
) -> None:
    with mqtt_5(stack, private_way, credential, "pi-1") as older:
        older.connected.result(DEADLINE)
        newer = mqtt_3(stack, private_way, credential, "pi-1")
        newer.connect().result(DEADLINE)
        told = older.disconnected.result(DEADLINE).disconnect_packet
        older.client.stop()
        assert told.reason_code == mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER
        newer.disconnect().result(DEADLINE)
