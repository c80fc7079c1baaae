"""What the gateway answers to packets, allowed and not.

What this cannot prove: that AWS IoT answers so where its pages are silent; docs/fidelity/gateway.md lists those places.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.path.gateway import packets
from lab.path.gateway.packets import V5, V311, Connect, Subscribe, Will
from tests.path.gateway.authority import Credential
from tests.path.gateway.raw_client import RawClient, publish
from tests.path.gateway.stack import ENDPOINT, Stack, wait_for

pytestmark = pytest.mark.path

LEVELS = [V311, V5]


@pytest.fixture(scope="module")
def credential(stack: Stack) -> Credential:
    """A device under the least-privilege policy."""
    found = stack.device("least-privilege", thing="pi-1")
    stack.reload()
    return found


@pytest.fixture(scope="module")
def free(stack: Stack) -> Credential:
    """A device that may do everything."""
    found = stack.device("open")
    stack.reload()
    return found


@contextmanager
def connected(
    stack: Stack,
    credential: Credential,
    level: int,
    client_id: str = "pi-1",
    *,
    clean: bool = True,
    will: Will | None = None,
) -> Iterator[RawClient]:
    with RawClient(stack, stack.endpoint, credential) as client:
        properties = ((packets.SESSION_EXPIRY, 600),) if level == V5 and not clean else ()
        connect = Connect(level, client_id, clean=clean, keep_alive=60, will=will, properties=properties)
        assert client.open(connect)[1] == 0
        yield client


def subscribe(client: RawClient, level: int, *filters: str, packet_id: int = 9) -> bytes:
    """SUBSCRIBE with QoS 1, and the reason codes of the SUBACK."""
    client.send(packets.write_subscribe(Subscribe(packet_id, tuple((item, 1) for item in filters)), level))
    raw = client.expect(packets.SUBACK)
    at = packets.frame(raw, 0)
    assert at is not None
    number, _, codes = packets.read_acknowledgement(raw, at, level)
    assert number == packet_id
    return codes


def by_kind(client: RawClient, count: int) -> dict[int, bytes]:
    """The next packets by their type, since the order of a PUBACK and a delivery is nobody's promise."""
    found = [client.receive() for _ in range(count)]
    return {item[0].kind: item[1] for item in found if item is not None}


# --- CONNECT --------------------------------------------------------------------------------------------------------


def test_mqtt_5_is_told_aws_iots_limits_and_the_cut_keep_alive(stack: Stack, credential: Credential) -> None:
    with RawClient(stack, stack.endpoint, credential) as client:
        _, code, properties = client.open(Connect(V5, "pi-1", clean=True, keep_alive=1200))
    assert code == 0
    assert properties[packets.SERVER_KEEP_ALIVE] == 230
    assert properties[packets.MAXIMUM_QOS] == 1
    assert properties[packets.TOPIC_ALIAS_MAXIMUM] == 8
    assert properties[packets.RECEIVE_MAXIMUM] == 100
    assert stack.event("connected", clientId="pi-1")["keepAlive"] == 230


@pytest.mark.parametrize("address", ["endpoint", "public"])
def test_the_wrong_client_id_is_refused_by_code_and_by_hang_up(
    stack: Stack, credential: Credential, address: str
) -> None:
    for level in LEVELS:
        with RawClient(stack, getattr(stack, address), credential) as client:
            client.send(packets.write_connect(Connect(level, "pi-2", clean=True, keep_alive=60)))
            if level == V5:
                assert client.expect(packets.CONNACK)[3] == 0x87
            assert client.closed()


@pytest.mark.parametrize("level", LEVELS)
def test_the_public_address_has_no_endpoint_and_the_policy_refuses(
    stack: Stack, credential: Credential, level: int
) -> None:
    with RawClient(stack, stack.public, credential) as client:
        client.send(packets.write_connect(Connect(level, "pi-1", clean=True, keep_alive=60)))
        if level == V5:
            assert client.expect(packets.CONNACK)[3] == 0x87
        assert client.closed()
    denial = stack.event("denied", action="iot:Connect", listener=stack.public, clientId="pi-1")
    assert "vpcEndpointId" not in denial


def test_an_empty_client_id_is_given_one(stack: Stack, free: Credential) -> None:
    with RawClient(stack, stack.endpoint, free) as client:
        _, code, properties = client.open(Connect(V5, "", clean=True, keep_alive=60))
    assert code == 0
    assert bytes(str(properties[packets.ASSIGNED_CLIENT_ID]), "ascii").startswith(b"b'$GEN/")


@pytest.mark.parametrize("level", LEVELS)
def test_the_older_connection_of_a_client_id_is_dropped(stack: Stack, credential: Credential, level: int) -> None:
    with connected(stack, credential, level) as older, connected(stack, credential, level) as newer:
        if level == V5:
            assert older.expect(packets.DISCONNECT) == b"\xe0\x01\x8e"
        assert older.closed()
        newer.send(packets.packet(packets.PINGREQ, 0, b""))
        newer.expect(packets.PINGRESP)
    stack.event("disconnected", clientId="pi-1", reason="duplicate client ID: session taken over")


@pytest.mark.parametrize("level", LEVELS)
def test_a_session_taken_over_keeps_its_subscriptions(stack: Stack, credential: Credential, level: int) -> None:
    with connected(stack, credential, level, clean=False) as older:
        assert subscribe(older, level, "device/pi-1/#") == b"\x01"
        with RawClient(stack, stack.endpoint, credential) as newer:
            properties = ((packets.SESSION_EXPIRY, 600),) if level == V5 else ()
            connect = Connect(level, "pi-1", clean=False, keep_alive=60, properties=properties)
            assert newer.open(connect)[:2] == (True, 0)
            newer.send(publish("device/pi-1/a", b"still here", level=level))
            assert by_kind(newer, 2)[packets.PUBLISH].endswith(b"still here")
    with connected(stack, credential, level):
        pass  # a clean connection ends the session


@pytest.mark.parametrize("level", LEVELS)
def test_packets_sent_before_the_connack_wait_for_it(stack: Stack, free: Credential, level: int) -> None:
    assert stack.broker_process is not None
    with RawClient(stack, stack.endpoint, free) as client:
        stack.broker_process.send_signal(signal.SIGSTOP)
        connect = packets.write_connect(Connect(level, "hasty", clean=True, keep_alive=60))
        client.send(connect + packets.write_subscribe(Subscribe(1, (("hasty", 0),)), level))
        stack.status()  # a turn of the gateway's loop
        client.send(publish("hasty", b"now", level=level, packet_id=0))
        stack.status()
        stack.broker_process.send_signal(signal.SIGCONT)
        client.expect(packets.CONNACK)
        client.expect(packets.SUBACK)
        assert client.expect(packets.PUBLISH).endswith(b"now")


def test_nothing_but_connect_may_come_first(stack: Stack, credential: Credential) -> None:
    with RawClient(stack, stack.endpoint, credential) as client:
        client.send(packets.packet(packets.PINGREQ, 0, b""))
        assert client.closed()


# --- PUBLISH --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_an_allowed_publish_is_acknowledged_and_received(stack: Stack, credential: Credential, level: int) -> None:
    with connected(stack, credential, level) as client:
        assert subscribe(client, level, "device/pi-1/#") == b"\x01"
        client.send(publish("device/pi-1/hello", b"Hello World!", level=level, packet_id=7))
        kinds = by_kind(client, 2)
        assert kinds[packets.PUBACK][2:4] == b"\x00\x07"
        assert kinds[packets.PUBLISH].endswith(b"Hello World!")


def test_a_denied_publish_of_mqtt_3_is_hung_up_on(stack: Stack, credential: Credential) -> None:
    with connected(stack, credential, V311) as client:
        client.send(publish("device/pi-2/hello", level=V311))
        assert client.closed()
    stack.event("denied", action="iot:Publish", topic="device/pi-2/hello")


def test_a_denied_publish_of_mqtt_5_gets_puback_not_authorized_and_the_connection_stays(
    stack: Stack, credential: Credential
) -> None:
    with connected(stack, credential, V5) as client:
        client.send(publish("other", level=V5, packet_id=3) + publish("device/pi-1/a", level=V5, packet_id=4))
        answers = {client.expect(packets.PUBACK)[2:] for _ in range(2)}
        assert b"\x00\x03\x87" in answers
        assert {answer[:2] for answer in answers} == {b"\x00\x03", b"\x00\x04"}


def test_a_denied_publish_without_acknowledgement_disconnects_mqtt_5(stack: Stack, credential: Credential) -> None:
    with connected(stack, credential, V5) as client:
        client.send(publish("other", level=V5, packet_id=0))
        assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x87"
        assert client.closed()


@pytest.mark.parametrize("level", LEVELS)
def test_what_was_allowed_before_a_denied_publish_arrives(
    stack: Stack, credential: Credential, free: Credential, level: int
) -> None:
    with connected(stack, free, V5, "watcher") as watcher, connected(stack, credential, level) as client:
        assert subscribe(watcher, V5, "device/pi-1/#") == b"\x01"
        client.send(
            publish("device/pi-1/first", b"one", level=level) + publish("other", b"two", level=level, packet_id=2)
        )
        assert watcher.expect(packets.PUBLISH).endswith(b"one")


@pytest.mark.parametrize("level", LEVELS)
def test_a_message_is_acknowledged_before_the_goodbye_that_follows_it(
    stack: Stack, free: Credential, level: int
) -> None:
    goodbye = packets.packet(packets.DISCONNECT, 0, b"")
    with connected(stack, free, V5, "watcher") as watcher, connected(stack, free, level, "leaver") as leaver:
        assert subscribe(watcher, V5, "last/words") == b"\x01"
        leaver.send(publish("last/words", b"bye", level=level) + goodbye)
        assert watcher.expect(packets.PUBLISH).endswith(b"bye")


def test_a_topic_alias_stands_for_its_topic_in_the_policy(stack: Stack, credential: Credential) -> None:
    with connected(stack, credential, V5) as client:
        assert subscribe(client, V5, "device/pi-1/#") == b"\x01"
        client.send(publish("device/pi-1/alias", b"one", level=V5, packet_id=0, alias=1))
        assert client.expect(packets.PUBLISH).endswith(b"one")
        client.send(publish("", b"two", level=V5, packet_id=0, alias=1))
        assert client.expect(packets.PUBLISH).endswith(b"two")
        client.send(publish("other", level=V5, packet_id=5, alias=2))
        assert client.expect(packets.PUBACK)[4] == 0x87
        client.send(publish("", level=V5, packet_id=6, alias=2))
        assert client.expect(packets.PUBACK)[4] == 0x87


@pytest.mark.parametrize("alias", [9, 65535])
def test_a_topic_alias_above_the_maximum_disconnects(stack: Stack, credential: Credential, alias: int) -> None:
    with connected(stack, credential, V5) as client:
        client.send(publish("device/pi-1/a", level=V5, alias=alias))
        assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x94"


def test_an_unknown_topic_alias_disconnects(stack: Stack, credential: Credential) -> None:
    with connected(stack, credential, V5) as client:
        client.send(publish("", level=V5, alias=3))
        assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x82"


def test_a_payload_of_128_kib_passes_and_one_byte_more_does_not(stack: Stack, credential: Credential) -> None:
    for level in LEVELS:
        with connected(stack, credential, level) as client:
            client.send(publish("device/pi-1/big", b"x" * 131072, level=level))
            client.expect(packets.PUBACK)
            client.send(publish("device/pi-1/big", b"x" * 131073, level=level))
            if level == V5:
                assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x95"
            assert client.closed()


def test_a_packet_beyond_the_maximum_is_refused_by_its_header_alone(stack: Stack, credential: Credential) -> None:
    with connected(stack, credential, V5) as client:
        client.send(b"\x32" + packets.variable(149_505))
        assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x95"


def test_quality_of_service_2_is_refused_to_mqtt_5_and_unanswered_in_mqtt_3(
    stack: Stack, credential: Credential
) -> None:
    with connected(stack, credential, V5) as client:
        client.send(publish("device/pi-1/a", level=V5, flags=4))
        assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x9b"
    with connected(stack, credential, V311) as client:
        client.send(publish("device/pi-1/a", level=V311, flags=4) + packets.packet(packets.PINGREQ, 0, b""))
        client.expect(packets.PINGRESP)


@pytest.mark.parametrize("topic", ["$SYS/broker/uptime", "$aws/events/presence/connected/pi-1"])
def test_a_reserved_topic_ends_the_connection(stack: Stack, free: Credential, topic: str) -> None:
    with connected(stack, free, V5, "reserved") as client:
        client.send(publish(topic, level=V5))
        assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x90"
        assert client.closed()


def test_a_topic_too_deep_is_refused(stack: Stack, free: Credential) -> None:
    with connected(stack, free, V5, "deep") as client:
        client.send(publish("a/b/c/d/e/f/g/h/i", level=V5))
        assert client.expect(packets.PUBACK)[4] == 0x90
    with connected(stack, free, V311, "deep") as client:
        client.send(publish("a/b/c/d/e/f/g/h/i", level=V311))
        assert client.closed()


def test_packets_that_aws_iot_does_not_support_disconnect(stack: Stack, free: Credential) -> None:
    for kind, flags in ((packets.PUBREL, 2), (packets.PUBREC, 0), (packets.AUTH, 0), (packets.CONNECT, 0)):
        with connected(stack, free, V5, "odd") as client:
            client.send(packets.packet(kind, flags, b"\x00\x01"))
            assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x82"


# --- SUBSCRIBE and delivery -----------------------------------------------------------------------------------------


def test_a_denied_subscribe_is_told_for_each_filter_in_mqtt_5(stack: Stack, credential: Credential) -> None:
    with connected(stack, credential, V5) as client:
        assert subscribe(client, V5, "device/pi-2/#", "device/pi-1/#", "#") == b"\x87\x01\x87"
        assert subscribe(client, V5, "#") == b"\x87"
        client.send(publish("device/pi-1/a", b"mine", level=V5, packet_id=0))
        assert client.expect(packets.PUBLISH).endswith(b"mine")


def test_a_denied_subscribe_of_mqtt_3_is_hung_up_on(stack: Stack, credential: Credential) -> None:
    with connected(stack, credential, V311) as client:
        client.send(packets.write_subscribe(Subscribe(1, (("device/pi-1/#", 1), ("#", 1))), V311))
        assert client.closed()


def test_nine_filters_in_one_subscribe_are_too_many(stack: Stack, free: Credential) -> None:
    with connected(stack, free, V5, "many") as client:
        assert subscribe(client, V5, *"abcdefgh") == b"\x01" * 8
        assert subscribe(client, V5, *"abcdefghi") == b"\x97" * 9
    with connected(stack, free, V311, "many") as client:
        client.send(packets.write_subscribe(Subscribe(1, tuple((item, 1) for item in "abcdefghi")), V311))
        assert client.closed()


def test_a_subscription_identifier_is_not_supported(stack: Stack, free: Credential) -> None:
    with connected(stack, free, V5, "identified") as client:
        client.send(packets.write_subscribe(Subscribe(1, (("a", 1),), ((packets.SUBSCRIPTION_ID, 1),)), V5))
        assert client.expect(packets.DISCONNECT) == b"\xe0\x01\xa1"


def test_a_message_without_iot_receive_is_not_delivered(stack: Stack, free: Credential) -> None:
    stack.policies["deaf"] = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "iot:Receive", "Resource": "arn:aws:iot:*:*:topic/secret"},
        ],
    }
    deaf = stack.device("deaf")
    stack.reload()
    with connected(stack, deaf, V5, "deaf") as client, connected(stack, free, V5, "speaker") as speaker:
        assert subscribe(client, V5, "#") == b"\x01"
        for packet_id in range(1, 151):  # more than the broker leaves unacknowledged
            speaker.send(publish("secret", level=V5, packet_id=packet_id))
            speaker.expect(packets.PUBACK)
        speaker.send(publish("plain", b"heard", level=V5))
        assert client.expect(packets.PUBLISH).endswith(b"heard")
    assert stack.status()["counters"]["denied"]["iot:Receive"]["count"] == 150


@pytest.mark.parametrize("level", LEVELS)
def test_a_retained_message_reaches_an_exact_filter_and_no_wildcard(stack: Stack, free: Credential, level: int) -> None:
    with connected(stack, free, level, f"keeper-{level}") as client:
        client.send(publish(f"kept/{level}", b"retained", level=level, flags=3))
        client.expect(packets.PUBACK)
        assert subscribe(client, level, f"kept/{level}/#", "kept/+") == b"\x01\x01"
        client.send(packets.packet(packets.PINGREQ, 0, b""))
        client.expect(packets.PINGRESP)
        assert subscribe(client, level, f"kept/{level}") == b"\x01"
        assert client.expect(packets.PUBLISH).endswith(b"retained")


def test_a_will_is_published_when_the_device_is_gone_and_not_after_a_goodbye(stack: Stack, free: Credential) -> None:
    will = Will("gone/dying", b"gone", 1, retain=False)
    with connected(stack, free, V5, "watcher") as watcher:
        assert subscribe(watcher, V5, "gone/dying") == b"\x01"
        with connected(stack, free, V311, "polite", will=will) as polite:
            polite.send(packets.packet(packets.DISCONNECT, 0, b""))
            assert polite.closed()
        with connected(stack, free, V311, "dying", will=Will("gone/dying", b"really", 1, retain=False)):
            pass
        assert watcher.expect(packets.PUBLISH).endswith(b"really")


# --- what people see ------------------------------------------------------------------------------------------------


def test_status_shows_the_connection_and_counts_what_passed(stack: Stack, credential: Credential) -> None:
    with connected(stack, credential, V5) as client:
        client.send(publish("device/pi-1/a", level=V5))
        client.expect(packets.PUBACK)
        found = wait_for(lambda: stack.connection("pi-1"), "the connection in status")
        assert found["thing"] == "pi-1"
        assert found["protocol"] == 5
        assert found["vpcEndpointId"] == "vpce-0bae8fd9e8c2b2879"
        assert found["messagesIn"] == 1
        assert stack.status()["endpoint"] == ENDPOINT
    wait_for(lambda: stack.connection("pi-1") is None, "the end of the connection")


def test_the_log_holds_no_payload(stack: Stack, credential: Credential) -> None:
    with connected(stack, credential, V5) as client:
        client.send(publish("device/pi-2/a", b"my little secret", level=V5))
        client.expect(packets.PUBACK)
    assert "my little secret" not in stack.log_file.read_text()
