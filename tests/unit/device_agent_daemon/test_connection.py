"""The connection's decisions, with a client, a resolver and a clock that the tests play.

The SDK's own packet types are real; that its client behaves as this one does is shown by the path tier.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError
from device_agent._exceptions import AddressError
from device_agent.daemon.connection import (
    ATTEMPT_TIMEOUT,
    HANDSHAKE_TIMEOUT,
    LONGEST_DELAY,
    SESSION_EXPIRY,
    Connection,
)
from device_agent.daemon.delivery import Delivery
from device_agent.daemon.liveness import ANSWER_WITHIN, SILENCE
from device_agent.daemon.loop import Loop
from device_agent.daemon.path_monitor import PathMonitor
from device_agent.daemon.queue import Queue
from device_agent.installation import Installation
from device_agent.tcp import TcpConnection

from tests.unit.device_agent_daemon.machine import Machine, advance, installation, make_machine, put, settle

INSIDE, OUTSIDE = "10.0.1.105", "203.0.113.80"


class FakeClient:
    """A client that does what the test says."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.started = self.stopped = False
        self.goodbye: mqtt5.DisconnectPacket | None = None
        self.published: list[mqtt5.PublishPacket] = []
        self.futures: list[Future[mqtt5.PublishCompletionData]] = []
        self.subscribed: list[str] = []
        self.subacks: list[Future[mqtt5.SubackPacket]] = []
        self.pings: list[Future[mqtt5.UnsubackPacket]] = []
        self.acknowledged: list[object] = []

    def start(self) -> None:
        self.started = True

    def stop(self, packet: mqtt5.DisconnectPacket | None = None) -> None:
        self.stopped, self.goodbye = True, packet

    def publish(self, packet: mqtt5.PublishPacket) -> Future[mqtt5.PublishCompletionData]:
        self.published.append(packet)
        self.futures.append(Future())
        return self.futures[-1]

    def subscribe(self, packet: mqtt5.SubscribePacket) -> Future[mqtt5.SubackPacket]:
        self.subscribed += [item.topic_filter for item in packet.subscriptions]
        self.subacks.append(Future())
        return self.subacks[-1]

    def unsubscribe(self, packet: mqtt5.UnsubscribePacket) -> Future[mqtt5.UnsubackPacket]:
        self.pings.append(Future())
        return self.pings[-1]

    def invoke_publish_acknowledgement(self, handle: object) -> None:
        self.acknowledged.append(handle)

    # What the service does

    def accept(self, receive_maximum: int = 100) -> None:
        settings = mqtt5.NegotiatedSettings(receive_maximum_from_server=receive_maximum)
        self.options["on_connection_success"](
            mqtt5.LifecycleConnectSuccessData(connack_packet=mqtt5.ConnackPacket(), negotiated_settings=settings)
        )

    def refuse(self, code: mqtt5.ConnectReasonCode = mqtt5.ConnectReasonCode.NOT_AUTHORIZED) -> None:
        self.options["on_connection_failure"](
            mqtt5.LifecycleConnectFailureData(connack_packet=mqtt5.ConnackPacket(reason_code=code))
        )

    def disconnect(self, name: str, packet: mqtt5.DisconnectPacket | None = None) -> None:
        self.options["on_disconnection"](
            mqtt5.LifecycleDisconnectData(disconnect_packet=packet, exception=AwsCrtError(0, name, name))
        )

    def acknowledge(self, number: int, code: mqtt5.PubackReasonCode | None = mqtt5.PubackReasonCode.SUCCESS) -> None:
        puback = mqtt5.PubackPacket(reason_code=code)
        self.futures[number].set_result(mqtt5.PublishCompletionData(puback=puback))

    def fail(self, number: int, name: str) -> None:
        self.futures[number].set_exception(AwsCrtError(0, name, name))


class Bench:
    """A connection, whose path is up unless a test says otherwise."""

    def __init__(self, root: Path) -> None:
        self.machine: Machine = make_machine(root)
        self.machine.tunnel_up()
        self.installation: Installation = installation(root)
        self.loop = InlineLoop(self.machine)
        (root / "state").mkdir()
        self.queue = Queue(self.machine, root / "state/queue.sqlite3")
        self.clients: list[FakeClient] = []
        self.peers = [INSIDE]
        self.bound: list[str] = []
        self.unbindable = False
        self.tcp: dict[str, Any] = {}
        self.refusal: Exception | None = None
        self.messages: list[tuple[str, bytes, dict[str, str]]] = []
        self.acknowledgements: list[Callable[[], None]] = []
        self.subscribed: list[tuple[str, str | None]] = []
        self.monitor = PathMonitor(
            self.machine, self.loop, self.installation, on_alive=lambda: None, on_dead=lambda _reason: None
        )
        self.delivery = Delivery(self.machine, self.loop, self.queue)
        self.connection = Connection(
            self.machine,
            self.loop,
            self.installation,
            self.monitor,
            self.delivery,
            queue_id=lambda: "q1",
            on_message=self._received,
            on_subscribed=lambda *answer: self.subscribed.append(answer),
            build=self._build,
            look=self._look,
            bind=self._bind,
        )

    def _received(
        self, topic: str, payload: bytes, properties: dict[str, str], acknowledge: Callable[[], None]
    ) -> None:
        self.messages.append((topic, payload, properties))
        self.acknowledgements.append(acknowledge)

    def _look(self, _port: int) -> list[TcpConnection]:
        return [TcpConnection(peer, **self.tcp) for peer in self.peers]

    def _bind(self, interface: str) -> int:
        self.bound.append(interface)
        if self.unbindable:
            raise OSError(1, "Operation not permitted")
        return 1

    def _build(self, _machine: object, used: Installation, **options: Any) -> Any:
        if self.refusal is not None:
            raise self.refusal
        self.clients.append(FakeClient({**options, "installation": used}))
        return self.clients[-1]

    def start(self) -> FakeClient:
        self.connection.start()
        self.pass_time(0)
        return self.clients[-1]

    def connect(self) -> FakeClient:
        client = self.start()
        client.accept()
        self.pass_time(0)
        assert self.connection.connected
        return client

    def watch(self, seconds: int) -> None:
        """Let time pass, and have the connection looked at every second."""
        for _ in range(seconds):
            self.connection.look()
            self.pass_time(1)

    def pass_time(self, seconds: float) -> None:
        advance(self.machine, self.loop, seconds)

    def put(self, *ids: str) -> None:
        for id_ in ids:
            put(self.queue, id=id_)
        self.delivery.pump()

    def close(self) -> None:
        self.queue.close()
        self.loop.close()


class InlineLoop(Loop):
    """Does background work at once, so that a test decides when time passes."""

    def in_background(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - as the real one
            result = error
        self.hand_over(lambda: done(result))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    built = Bench(tmp_path)
    yield built
    built.close()


def test_each_attempt_builds_a_client_of_its_own(bench: Bench) -> None:
    bench.start().refuse()
    bench.pass_time(LONGEST_DELAY)
    assert len(bench.clients) > 1
    assert bench.clients[0].stopped


def test_a_name_that_leads_outside_is_not_connected_to_and_is_asked_again(bench: Bench) -> None:
    bench.refusal = AddressError("it resolves to 203.0.113.80, outside the VPC's 10.0.0.0/16")
    bench.connection.start()
    bench.pass_time(3)
    assert bench.clients == []
    assert "outside the VPC" in str(bench.connection.last_error)
    bench.refusal = None
    bench.pass_time(LONGEST_DELAY)
    assert bench.clients[0].started


def test_nothing_is_built_while_the_route_leads_past_the_tunnel(bench: Bench) -> None:
    bench.machine.tunnel_down()
    bench.connection.start()
    bench.pass_time(60)
    assert bench.clients == []
    bench.machine.tunnel_up()
    bench.connection.path_is_alive()
    bench.pass_time(0)
    assert bench.clients[0].started


def test_a_tunnel_that_ends_while_the_name_is_resolved_stops_the_attempt(bench: Bench) -> None:
    original = bench._build

    def build(*arguments: Any, **options: Any) -> Any:
        bench.machine.tunnel_down()
        return original(*arguments, **options)

    bench.connection._build = build
    bench.connection.start()
    bench.pass_time(0)
    assert not bench.clients[0].started


def test_a_peer_outside_the_vpc_is_dropped_while_the_connection_is_being_made(bench: Bench) -> None:
    client = bench.start()
    bench.peers = [INSIDE, OUTSIDE]
    bench.pass_time(0.05)
    assert client.stopped
    assert client.goodbye is None, "something more was sent to it"
    assert f"went to {OUTSIDE}, outside the VPC's 10.0.0.0/16" in str(bench.connection.last_error)


def test_a_peer_outside_the_vpc_is_dropped_at_connack_and_sees_no_message(bench: Bench) -> None:
    bench.put("a")
    client = bench.start()
    bench.peers = [OUTSIDE]
    client.accept()
    bench.pass_time(0)
    assert client.stopped
    assert client.published == []


def test_a_standing_connection_is_dropped_when_its_peer_is_outside(bench: Bench) -> None:
    client = bench.connect()
    bench.peers = [OUTSIDE]
    bench.pass_time(61)
    assert client.stopped


def test_the_connection_is_tied_to_the_tunnel_while_it_is_being_made_and_at_connack(bench: Bench) -> None:
    client = bench.start()
    bench.pass_time(0.05)
    assert set(bench.bound) == {"tun0"}
    before = len(bench.bound)
    client.accept()
    bench.pass_time(0)
    assert len(bench.bound) > before


def test_a_kernel_that_ties_no_socket_is_told_of_once_and_the_connection_stands(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.unbindable = True
    bench.connect()
    bench.pass_time(300)
    assert bench.connection.connected
    assert caplog.text.count("cannot be bound to tun0") == 1


def test_an_attempt_without_an_end_is_given_up(bench: Bench) -> None:
    bench.peers = []
    client = bench.start()
    bench.pass_time(ATTEMPT_TIMEOUT + 0.1)
    assert client.stopped
    assert bench.connection.last_error == "no connection in time"


def test_a_handshake_without_an_end_is_given_up_before_the_sdk_tells_of_it(bench: Bench) -> None:
    client = bench.start()
    bench.pass_time(HANDSHAKE_TIMEOUT + 0.5)
    assert client.stopped
    assert "may drop large packets" in str(bench.connection.last_error)


def test_a_handshake_that_stops_after_the_servers_first_words_is_the_certificates_or_the_clocks_fault(
    bench: Bench,
) -> None:
    bench.tcp = {"bytes_received": 4000}
    client = bench.start()
    bench.pass_time(HANDSHAKE_TIMEOUT + 0.5)
    assert client.stopped
    assert "check the clock" in str(bench.connection.last_error)


def test_a_handshake_that_goes_on_is_not_given_up(bench: Bench) -> None:
    client = bench.start()
    for second in range(25):
        bench.tcp = {"bytes_received": 200 * second}
        bench.pass_time(1)
    assert not client.stopped


def test_a_connection_that_tcp_does_not_reach_is_waited_for(bench: Bench) -> None:
    bench.peers = []
    client = bench.start()
    bench.pass_time(HANDSHAKE_TIMEOUT + 0.5)
    assert not client.stopped
    bench.peers = [INSIDE]
    client.accept()
    bench.pass_time(HANDSHAKE_TIMEOUT + 0.5)
    assert bench.connection.connected


def test_delays_grow_with_full_jitter_up_to_a_limit_and_begin_anew_after_a_steady_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def uniform(low: float, high: float) -> float:
        assert low == 0
        asked.append(high)
        return high

    monkeypatch.setattr("device_agent.daemon.connection.random.uniform", uniform)
    bench.start()
    for _ in range(9):
        bench.clients[-1].refuse()
        bench.pass_time(0)
        bench.pass_time(asked[-1])
    assert asked == [0.5, 1, 2, 4, 8, 16, 20, 20, 20]
    bench.clients[-1].accept()
    bench.pass_time(31)
    bench.clients[-1].disconnect("AWS_ERROR_MQTT_UNEXPECTED_HANGUP")
    bench.pass_time(0)
    assert asked[-1] == 0.5


def test_a_path_that_comes_back_is_used_at_once_whatever_the_delay(bench: Bench) -> None:
    bench.start()
    for _ in range(8):
        bench.clients[-1].refuse()
        bench.pass_time(LONGEST_DELAY)
    bench.clients[-1].refuse()
    bench.pass_time(0)
    before = len(bench.clients)
    bench.connection.path_is_alive()
    bench.pass_time(0)
    assert len(bench.clients) == before + 1


def test_messages_carry_their_id_sequence_and_queue(bench: Bench) -> None:
    client = bench.connect()
    bench.put("an-id")
    packet = client.published[-1]
    assert {item.name: item.value for item in packet.user_properties} == {
        "message-id": "an-id",
        "sequence": "1",
        "queue-id": "q1",
    }
    assert packet.qos == mqtt5.QoS.AT_LEAST_ONCE


@pytest.mark.parametrize("code", [mqtt5.PubackReasonCode.SUCCESS, mqtt5.PubackReasonCode.NO_MATCHING_SUBSCRIBERS])
def test_only_an_acceptance_takes_a_message_out_of_the_queue(bench: Bench, code: mqtt5.PubackReasonCode) -> None:
    client = bench.connect()
    bench.put("a")
    client.acknowledge(-1, code)
    bench.pass_time(0)
    settle(bench.queue)
    assert bench.queue.totals().counters["sent"] == 1


@pytest.mark.parametrize(
    "code", [mqtt5.PubackReasonCode.NOT_AUTHORIZED, mqtt5.PubackReasonCode.UNSPECIFIED_ERROR, None]
)
def test_a_puback_with_an_error_or_an_unknown_code_leaves_the_message_queued(
    bench: Bench, code: mqtt5.PubackReasonCode | None
) -> None:
    client = bench.connect()
    bench.put("a")
    client.acknowledge(-1, code)
    bench.pass_time(0)
    settle(bench.queue)
    assert bench.queue.totals().depth == 1
    assert bench.queue.read(0, 1)[0].tries == 1


def test_an_acknowledgement_that_does_not_come_in_time_ends_the_connection(bench: Bench) -> None:
    client = bench.connect()
    client.acknowledge(0)
    bench.put("a")
    bench.watch(int(ANSWER_WITHIN) + 2)
    assert client.stopped
    assert bench.connection.last_error == "AWS IoT does not answer within 10 s"
    settle(bench.queue)
    assert bench.queue.read(0, 1)[0].tries == 0


def test_a_packet_that_the_sdk_refuses_counts_as_refused_not_as_lost(bench: Bench) -> None:
    client = bench.connect()
    bench.put("a")
    client.fail(-1, "AWS_ERROR_MQTT5_PACKET_VALIDATION")
    bench.pass_time(0)
    settle(bench.queue)
    assert bench.queue.read(0, 1)[0].tries == 1
    assert not client.stopped


@pytest.mark.parametrize(
    ("name", "code", "suspected"),
    [
        ("AWS_ERROR_MQTT_UNEXPECTED_HANGUP", None, True),
        ("AWS_ERROR_MQTT5_DISCONNECT_RECEIVED", mqtt5.DisconnectReasonCode.NOT_AUTHORIZED, True),
        ("AWS_ERROR_MQTT5_DISCONNECT_RECEIVED", mqtt5.DisconnectReasonCode.SERVER_SHUTTING_DOWN, False),
        ("AWS_ERROR_MQTT5_DISCONNECT_RECEIVED", mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER, False),
        ("AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT", None, False),
    ],
)
def test_a_hang_up_makes_messages_suspects_and_a_dead_path_does_not(
    bench: Bench, name: str, code: mqtt5.DisconnectReasonCode | None, *, suspected: bool
) -> None:
    client = bench.connect()
    bench.put("a", "b")
    packet = mqtt5.DisconnectPacket(reason_code=code) if code is not None else None
    client.disconnect(name, packet)
    bench.pass_time(1)
    again = bench.clients[-1]
    again.accept()
    bench.pass_time(0)
    # Suspects wait until the status message has proven the connection.
    assert [packet.topic for packet in again.published] == ["pi-1/status", *([] if suspected else ["pi-1/test"] * 2)]


def test_the_status_is_published_online_and_at_the_end_offline_before_the_goodbye(bench: Bench) -> None:
    client = bench.connect()
    assert client.published[0].topic == "pi-1/status"
    assert json.loads(client.published[0].payload)["status"] == "online"
    assert client.published[0].retain
    ended: list[bool] = []
    bench.connection.stop(lambda: ended.append(True))
    assert json.loads(client.published[-1].payload)["status"] == "offline"
    assert not client.stopped
    client.acknowledge(-1)
    bench.pass_time(0.5)
    assert client.goodbye is not None, "without DISCONNECT the last will is published"
    assert ended == [True]


def test_a_service_that_is_busy_changes_nothing_about_the_status(bench: Bench) -> None:
    bench.start().refuse(mqtt5.ConnectReasonCode.SERVER_BUSY)
    bench.pass_time(LONGEST_DELAY)
    bench.clients[-1].accept()
    bench.pass_time(0)
    assert bench.clients[-1].options["will"].retain
    assert bench.clients[-1].published[0].retain


def test_after_a_connection_with_less_the_next_one_asks_for_all_again(bench: Bench) -> None:
    bench.start().refuse()
    bench.pass_time(LONGEST_DELAY)
    less = bench.clients[-1]
    less.accept()
    bench.pass_time(0)
    less.acknowledge(0)
    bench.pass_time(0)
    less.disconnect("AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT")
    bench.pass_time(LONGEST_DELAY)
    assert not less.options["will"].retain
    assert bench.clients[-1].options["will"].retain


def test_a_status_message_that_aws_iot_hangs_up_on_does_not_loop(bench: Bench) -> None:
    bench.put("a")
    bench.start()
    for _hang_up in range(6):
        client = bench.clients[-1]
        client.accept()
        bench.pass_time(0)
        if "pi-1/status" not in [packet.topic for packet in client.published]:
            break
        client.disconnect(
            "AWS_ERROR_MQTT5_DISCONNECT_RECEIVED",
            mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.NOT_AUTHORIZED),
        )
        bench.pass_time(LONGEST_DELAY)
    else:
        raise AssertionError("it goes on for ever")
    client.pings[0].set_result(mqtt5.UnsubackPacket())
    bench.pass_time(0)
    assert [packet.topic for packet in client.published] == ["pi-1/test"]
    settle(bench.queue)
    assert bench.queue.read(0, 1)[0].tries == 0, "an innocent message was blamed"


def test_online_is_said_again_after_a_connection_without_a_goodbye(bench: Bench) -> None:
    """Its last will may come after the first "online"."""
    client = bench.connect()
    client.acknowledge(0)
    bench.pass_time(60)
    client.disconnect("AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT")
    bench.pass_time(1)
    again = bench.clients[-1]
    again.accept()
    bench.pass_time(0)
    again.acknowledge(0)
    bench.pass_time(60)
    assert [json.loads(packet.payload)["status"] for packet in again.published] == ["online", "online"]


def test_a_connection_without_a_peer_is_not_believed(bench: Bench) -> None:
    client = bench.start()
    bench.peers = []
    client.accept()
    bench.pass_time(0)
    assert client.stopped
    assert client.published == []
    assert "peer cannot be seen" in str(bench.connection.last_error)


def hang_up(bench: Bench) -> FakeClient:
    """Have AWS IoT hang up, and give the next connection."""
    bench.clients[-1].disconnect("AWS_ERROR_MQTT_UNEXPECTED_HANGUP")
    before = len(bench.clients)
    while len(bench.clients) == before:
        bench.pass_time(1)
    bench.clients[-1].accept()
    bench.pass_time(0)
    return bench.clients[-1]


def test_a_filter_that_aws_iot_hangs_up_on_is_refused_and_no_message_blamed(bench: Bench) -> None:
    bench.connection.subscribe("good/#")
    bench.connection.subscribe("$foo/#")
    client = bench.connect()
    client.acknowledge(0)
    client.subacks[0].set_result(mqtt5.SubackPacket(reason_codes=[mqtt5.SubackReasonCode.GRANTED_QOS_1]))
    bench.pass_time(0)
    bench.put("a")
    client = hang_up(bench)
    for _step in range(3):
        if not client.published:
            break
        client.acknowledge(0)
        bench.pass_time(0)
        client.subacks[0].set_result(mqtt5.SubackPacket(reason_codes=[mqtt5.SubackReasonCode.GRANTED_QOS_1]))
        bench.pass_time(0)
        if client.subscribed[-1] != "$foo/#":
            break
        client = hang_up(bench)
    assert client.subscribed == ["good/#"]
    assert ("$foo/#", "AWS IoT hung up whenever this filter was asked for") in bench.subscribed
    assert [packet.topic for packet in client.published] == ["pi-1/status", "pi-1/test"]
    settle(bench.queue)
    assert bench.queue.read(0, 1)[0].tries == 0
    bench.connection.subscribe("$foo/#")
    assert client.subscribed[-1] == "$foo/#", "it is not asked for when someone wants it anew"


def test_a_refused_will_is_asked_for_less_each_time(bench: Bench) -> None:
    bench.start()
    wills: list[bool | None] = []
    for _ in range(4):
        will = bench.clients[-1].options["will"]
        wills.append(None if will is None else will.retain)
        bench.clients[-1].refuse()
        bench.pass_time(LONGEST_DELAY)
        while len(bench.clients) <= len(wills):
            bench.pass_time(1)
        assert len(bench.clients) == len(wills) + 1
    assert wills == [True, False, None, True]


def test_a_message_takes_as_long_as_the_line_needs(bench: Bench) -> None:
    """128 KiB at 32 kbit/s, of which an acknowledgement of TCP's comes every second."""
    client = bench.connect()
    client.acknowledge(0)
    bench.put("a")
    for second in range(40):
        bench.tcp = {"waiting": 131_072 - 3_200 * second, "segments_in": second, "bytes_acked": 3_200 * second}
        bench.watch(1)
    assert not client.stopped
    client.acknowledge(1)
    bench.pass_time(0)
    assert [packet.topic for packet in client.published].count("pi-1/test") == 1, "it was sent twice"


def test_a_line_that_carries_nothing_any_more_is_found_within_seconds(bench: Bench) -> None:
    client = bench.connect()
    client.acknowledge(0)
    bench.put("a")
    bench.tcp = {"waiting": 256, "segments_in": 7, "round_trip": 0.05}
    bench.watch(int(SILENCE) + 2)
    assert client.stopped
    assert client.goodbye is None
    assert str(bench.connection.last_error).startswith("the path is dead: nothing has come for")


def test_a_ping_that_is_not_answered_ends_the_connection(bench: Bench) -> None:
    client = bench.connect()
    client.acknowledge(0)
    bench.pass_time(0)
    bench.connection.ping()
    bench.watch(int(SILENCE) + 2)
    assert client.stopped
    assert client.goodbye is None
    assert bench.connection.last_error == "the path is dead: no answer to a ping"


def test_a_ping_that_is_answered_keeps_the_connection_and_only_one_is_under_way(bench: Bench) -> None:
    client = bench.connect()
    bench.connection.ping()
    bench.connection.ping()
    assert len(client.pings) == 1
    client.pings[0].set_result(mqtt5.UnsubackPacket())
    bench.pass_time(0)
    client.acknowledge(0)
    bench.watch(int(SILENCE) + 2)
    assert not client.stopped
    bench.connection.ping()
    assert len(client.pings) == 2


def test_subscriptions_are_made_again_over_each_connection_until_the_last_listener_leaves(bench: Bench) -> None:
    bench.connection.subscribe("pi-1/commands/#")
    bench.connection.subscribe("pi-1/commands/#")
    first = bench.connect()
    assert first.subscribed == ["pi-1/commands/#"]
    bench.connection.unsubscribe("pi-1/commands/#")
    first.disconnect("AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT")
    bench.pass_time(1)
    bench.clients[-1].accept()
    bench.pass_time(0)
    assert bench.clients[-1].subscribed == ["pi-1/commands/#"]
    bench.connection.unsubscribe("pi-1/commands/#")
    assert len(bench.clients[-1].pings) == 1


def test_a_refused_subscription_is_told(bench: Bench) -> None:
    bench.connection.subscribe("else/#")
    client = bench.connect()
    client.subacks[0].set_result(mqtt5.SubackPacket(reason_codes=[mqtt5.SubackReasonCode.NOT_AUTHORIZED]))
    bench.pass_time(0)
    assert bench.subscribed[0][0] == "else/#"
    assert "0x87" in str(bench.subscribed[0][1])


def test_a_message_that_comes_in_is_handed_on_with_its_properties(bench: Bench) -> None:
    client = bench.connect()
    properties = [mqtt5.UserProperty("message-id", "x")]
    packet = mqtt5.PublishPacket(topic="pi-1/commands/a", payload=b"\xff", user_properties=properties)
    client.options["on_publish_received"](mqtt5.PublishReceivedData(publish_packet=packet))
    bench.pass_time(0)
    assert bench.messages == [("pi-1/commands/a", b"\xff", {"message-id": "x"})]


def received(client: FakeClient, handle: str) -> None:
    """Have a message come in whose PUBACK can be taken over."""
    packet = mqtt5.PublishPacket(topic="pi-1/commands/a", payload=b"x")
    client.options["on_publish_received"](
        mqtt5.PublishReceivedData(publish_packet=packet, acquire_publish_acknowledgement_control=lambda: handle)
    )


def test_a_persistent_session_is_asked_for_anew_and_its_messages_are_answered_when_they_are_kept(bench: Bench) -> None:
    clean = bench.connect()
    assert clean.options["session_expiry"] == 0
    received(clean, "by the SDK")
    bench.pass_time(0)
    bench.connection.keep_session(wanted=True)
    bench.pass_time(0)
    assert (clean.stopped, clean.goodbye is not None) == (True, True)
    kept = bench.clients[-1]
    assert kept.options["session_expiry"] == SESSION_EXPIRY
    kept.accept()
    bench.pass_time(0)
    received(kept, "kept")
    received(kept, "never")
    bench.pass_time(0)
    assert kept.acknowledged == [], "AWS IoT is answered before the message is kept"
    bench.acknowledgements[1]()
    assert kept.acknowledged == ["kept"]
    bench.acknowledgements[0]()
    kept.disconnect("AWS_ERROR_MQTT_UNEXPECTED_HANGUP")
    bench.pass_time(0)
    bench.acknowledgements[2]()
    assert (clean.acknowledged, kept.acknowledged) == ([], ["kept"]), "an answer over another connection"


def test_a_policy_without_persistent_sessions_gets_a_clean_one(bench: Bench) -> None:
    bench.connection.keep_session(wanted=True)
    client = bench.start()
    asked = [client.options["session_expiry"]]
    for _ in range(3):
        client.refuse()
        bench.pass_time(30)
        client = bench.clients[-1]
        asked.append(client.options["session_expiry"])
    assert asked == [SESSION_EXPIRY, 0, SESSION_EXPIRY, 0]
    client.accept()
    bench.pass_time(0)
    assert not bench.connection.keeps_session
    assert bench.connection.connected


def test_events_of_a_client_that_was_given_up_are_passed_over(bench: Bench) -> None:
    first = bench.connect()
    bench.connection.path_is_dead("dead")
    bench.pass_time(1)
    second = bench.clients[-1]
    second.accept()
    bench.pass_time(0)
    first.disconnect("AWS_ERROR_MQTT_UNEXPECTED_HANGUP")
    bench.pass_time(0)
    assert bench.connection.connected
    assert not second.stopped


def test_a_stop_without_a_connection_ends_at_once(bench: Bench) -> None:
    ended: list[bool] = []
    bench.start()
    bench.connection.stop(lambda: ended.append(True))
    assert ended == [True]
    bench.pass_time(120)
    assert len(bench.clients) == 1


def test_the_status_says_what_came_of_a_delivered_certificate_also_when_it_changes(bench: Bench) -> None:
    client = bench.connect()
    bench.connection._status.more = lambda: {"certificate": {"result": "installed"}}
    bench.connection.say_online()
    client.acknowledge(0)
    bench.pass_time(60)
    client.acknowledge(1)
    bench.pass_time(0)
    bench.connection.say_online()
    first, *later = [json.loads(packet.payload) for packet in client.published if packet.topic == "pi-1/status"]
    assert "certificate" not in first
    assert len(later) == 2
    assert all(packet["certificate"] == {"result": "installed"} for packet in later)
