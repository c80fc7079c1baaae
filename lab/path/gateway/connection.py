"""One device's connection: what it sends is read, judged and passed on to the broker as it is.

Rules and where they come from: limits.py, authorization.py and docs/fidelity/gateway.md.
"""

import asyncio
import time
from pathlib import Path
from typing import Protocol

from lab.path.gateway import limits, packets, provisioning
from lab.path.gateway.authorization import ALLOWED, Authorization, Peer, Verdict
from lab.path.gateway.broker_link import BrokerLink
from lab.path.gateway.journal import Journal
from lab.path.gateway.opening import Opening, RefusedConnectError, acknowledgement, for_broker, read_opening
from lab.path.gateway.packets import V5, V311, Frame, MalformedPacketError, Property
from lab.path.gateway.table import Listener, Table
from lab.path.gateway.tls_stream import TlsStream

CONNECT_TIMEOUT = 30.0
"""Seconds that a device has to send its CONNECT after the TLS handshake (section 3.1 of MQTT 5.0: "reasonable")."""

_UNSUPPORTED = frozenset({packets.PUBREC, packets.PUBREL, packets.PUBCOMP, packets.AUTH})
"""Packets that AWS IoT does not support (developerguide/mqtt.html, "differences from MQTT specifications")."""

_PASSED = frozenset({packets.PUBACK, packets.PINGREQ})


class Front(Protocol):
    """What a connection asks of the gateway that it belongs to."""

    table: Table
    journal: Journal
    connections: "set[DeviceConnection]"
    broker_socket: Path
    denied_publish: limits.DeniedPublish
    publishes_per_second: int | None
    provisioning_socket: Path | None

    def identify(self, device: "DeviceConnection") -> tuple[Peer, str | None]:
        """Who has connected, and why it must not be, None when it may."""

    def remember(self, device: "DeviceConnection", client_id: str) -> None:
        """Make a device the one of its client ID."""

    def forget(self, device: "DeviceConnection") -> None:
        """A device is gone."""


class DeviceConnection:
    """The side of a device.

    Args:
        needs_alpn: whether its port asks for the MQTT ALPN protocol.
    """

    peer: Peer
    authorization: Authorization

    def __init__(self, gateway: Front, listener: Listener, stream: TlsStream, *, needs_alpn: bool) -> None:
        self.gateway = gateway
        self.journal = gateway.journal
        self.listener = listener
        self.stream = stream
        self.needs_alpn = needs_alpn
        self.level = V311
        self.client_id: str | None = None
        self.since = time.time()
        self.closed = False
        self.messages_in = self.messages_out = 0
        self.pending_subacks: dict[int, list[int | None]] = {}
        self.exact_filters: set[bytes] = set()
        self.retain_as_published = False
        self._opening: Opening | None = None
        self._opening_task: asyncio.Task[None] | None = None
        self._acknowledged = False
        self._broker: BrokerLink | None = None
        self._pending = bytearray()
        self._needed = 0
        self._aliases: dict[int, bytes] = {}
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._second, self._in_second = 0, 0
        self._denial = ALLOWED
        self._asked: set[asyncio.Task[None]] = set()

    # --- life -------------------------------------------------------------------------------------------------------

    def established(self) -> None:
        """TLS is up: look at the certificate."""
        self.peer, fault = self.gateway.identify(self)
        self.gateway.connections.add(self)
        if fault is not None:
            self.journal.counters.refused_handshakes += 1
            self.close(fault, event="certificate-refused")
            return
        self._timer = asyncio.get_running_loop().call_later(CONNECT_TIMEOUT, self.close, "no CONNECT in time")

    def connection_lost(self) -> None:
        """The device is gone; without a DISCONNECT the broker publishes its will."""
        self.close("connection lost")

    def pause_writing(self) -> None:
        """The device reads too slowly."""
        if self._broker is not None:
            self._broker.pause_reading()

    def resume_writing(self) -> None:
        """The device has caught up."""
        if self._broker is not None:
            self._broker.resume_reading()

    def details(self) -> dict[str, object]:
        """Who this is, for the log and for ``status``."""
        return {
            "clientId": self.client_id,
            "thing": self.authorization.thing if hasattr(self, "authorization") else None,
            "peer": f"{self.peer.address}:{self.peer.port}",
            "certificateId": self.peer.certificate_id,
            "listener": self.listener.address,
            "vpcEndpointId": self.listener.vpc_endpoint_id,
        }

    def close(self, reason: str, code: int | None = None, *, event: str = "disconnected") -> None:
        """End the connection.

        Args:
            code: reason code of the DISCONNECT that an MQTT 5 client is sent; MQTT 3.1.1 is only hung up on.
        """
        if self.closed:
            return
        self.closed = True
        self.gateway.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._opening_task is not None:
            self._opening_task.cancel()
        if code is not None and self.level == V5 and self._acknowledged:
            self.stream.write(packets.write_disconnect(code))
        if self._broker is not None:
            self._broker.close()
        self.stream.close()
        self.journal.write(event, reason=reason, **self.details())

    def _deny(self, verdict: Verdict, **details: object) -> None:
        self.journal.denied(verdict.action, verdict.reason, **self.details(), **details)

    # --- bytes ------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read whole packets; what may pass is written to the broker in as few pieces as possible."""
        if self.closed:
            return
        self._heard = asyncio.get_running_loop().time()
        waiting = self._opening is not None and not self._acknowledged
        if self._pending or waiting:
            self._pending += data
            if waiting and len(self._pending) > limits.MAXIMUM_PACKET:
                self.stream.pause_reading()  # until the CONNACK; a client should not send anything before it
            if waiting or len(self._pending) < self._needed:
                return
            data = bytes(self._pending)
            self._pending.clear()
        try:
            self._read(data)
        except MalformedPacketError as error:
            self.close(str(error), error.reason_code)

    def _read(self, data: bytes) -> None:
        position = run = 0  # [run, position) may pass and is not written yet
        self._needed = 0
        try:
            while not self.closed:
                at = packets.frame(data, position)
                if at is None:
                    break
                self._check_size(at)
                if at.end > len(data):
                    self._needed = at.end - position
                    break
                if self._opening is None:
                    self._open(data, at)
                    self._pending += data[at.end :]
                    return
                if not (at.kind in _PASSED or (at.kind == packets.PUBLISH and self._may_publish(data, at))):
                    self._forward(data, run, position)  # what came before goes first, whatever happens now
                    run = position if self._handle(data, at) else at.end
                position = at.end
        finally:
            self._forward(data, run, position)
        if not self.closed:
            self._pending += data[position:]

    def _check_size(self, at: Frame) -> None:
        size = at.end - at.start
        if size > limits.MAXIMUM_PACKET:
            raise MalformedPacketError(f"packet of {size} bytes; AWS IoT takes {limits.MAXIMUM_PACKET}", 0x95)

    def _forward(self, data: bytes, start: int, end: int) -> None:
        if start < end and self._broker is not None:
            self._broker.write(data if end - start == len(data) else memoryview(data)[start:end])

    def _handle(self, data: bytes, at: Frame) -> bool:
        """Deal with a packet that does not simply pass; whether the broker gets it as it is."""
        if at.kind == packets.PUBLISH:
            if self._denial is ALLOWED:
                self._ask_provisioning(data, at)
            else:
                self._deny_publish(data, at)
            return False
        if at.kind == packets.SUBSCRIBE:
            return self._subscribe(data, at)
        if at.kind == packets.UNSUBSCRIBE:
            for topic_filter in packets.read_unsubscribe(data, at, self.level):
                self.exact_filters.discard(topic_filter.encode())
            return True
        if at.kind == packets.DISCONNECT:
            self._forward(data, at.start, at.end)
            self.close("client initiated disconnect")
            return False
        if at.kind in _UNSUPPORTED:
            raise MalformedPacketError(f"packet type {at.kind}, which AWS IoT does not support", 0x82)
        raise MalformedPacketError(f"packet type {at.kind} from a client", 0x82)

    # --- CONNECT ----------------------------------------------------------------------------------------------------

    def _open(self, data: bytes, at: Frame) -> None:
        try:
            self._opening = read_opening(data, at, over_vpc_endpoint=self.listener.vpc_endpoint_id is not None)
        except RefusedConnectError as error:
            self.level = error.level
            self._refuse(str(error), error.code, error.return_code)
            return
        self.level = self._opening.connect.level
        self.client_id = self._opening.connect.client_id
        if self._authorize(self._opening):
            self.gateway.remember(self, self.client_id)
            self._opening_task = asyncio.get_running_loop().create_task(self._reach_broker(self._opening))

    def _refuse(self, reason: str, code: int, return_code: int | None = None) -> None:
        """Refuse a CONNECT: MQTT 5 is told why, MQTT 3.1.1 only where AWS IoT has a return code for it."""
        if self.level == V5:
            self.stream.write(packets.write_connack(V5, code))
        elif return_code is not None:
            self.stream.write(packets.write_connack(V311, return_code))
        self.close(reason, event="connection-refused")

    def _authorize(self, opening: Opening) -> bool:
        """Judge the connection under the gateway's table; it ends when it may not be."""
        table = self.gateway.table
        certificate = table.certificates.get(self.peer.certificate_id)
        if certificate is None or certificate.status != "ACTIVE":
            # API_UpdateCertificate.html: devices are disconnected "within a few minutes" of leaving ACTIVE
            self.close(f"certificate is {certificate.status if certificate else 'not registered'}", 0x87)
            return False
        self.authorization = Authorization(table, self.listener, self.peer, certificate, opening.connect)
        verdict = self.authorization.connect()
        if verdict is ALLOWED:
            return True
        self._deny(verdict)
        if self._acknowledged:
            self.close("no longer authorized to connect", 0x87)
        else:
            self._refuse("not authorized to connect", 0x87)
        return False

    def reauthorize(self) -> None:
        """Look at the connection again after the table changed."""
        if self._opening is not None:
            self._authorize(self._opening)

    async def _reach_broker(self, opening: Opening) -> None:
        try:
            _, self._broker = await asyncio.get_running_loop().create_unix_connection(
                lambda: BrokerLink(self), str(self.gateway.broker_socket)
            )
        except OSError as error:
            self._opening_task = None
            self._refuse(f"the broker does not answer: {error}", 0x88, 3)
            return
        self._broker.write(for_broker(opening.connect))

    def connection_acknowledged(self, code: int, properties: list[Property], *, session_present: bool) -> None:
        """The broker has answered the CONNECT: tell the device in AWS IoT's words."""
        if code or self._opening is None:
            self._refuse(f"the broker refused the connection with code {code}", code, code)
            return
        self.stream.write(acknowledgement(self._opening, properties, session_present=session_present))
        self._acknowledged = True
        self.since = time.time()
        keep_alive = self._opening.keep_alive
        self.journal.counters.accepted += 1
        self.journal.write(
            "connected", protocol=self.level, keepAlive=keep_alive, sessionPresent=session_present, **self.details()
        )
        self._heard = asyncio.get_running_loop().time()
        self._watch(keep_alive * limits.GRACE)
        held, self._pending = bytes(self._pending), bytearray()
        if held:
            self.data_received(held)
            self.stream.resume_reading()

    def _watch(self, patience: float) -> None:
        """Drop the device after one and a half keep-alives of silence, else look again when that may be."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        if loop.time() >= self._heard + patience:
            self.close(f"keep-alive: nothing heard for {patience:g} s", 0x8D)
        else:
            self._timer = loop.call_at(self._heard + patience, self._watch, patience)

    # --- PUBLISH and SUBSCRIBE --------------------------------------------------------------------------------------

    def _may_publish(self, data: bytes, at: Frame) -> bool:
        verdict = self._publish_verdict(data, at)
        self._denial = verdict
        if verdict is not ALLOWED:
            return False
        self.messages_in += 1
        return not provisioning.is_request(self._topic_of(packets.read_publish(data, at, self.level)))

    def _topic_of(self, publish: packets.Publish) -> bytes:
        return publish.topic or self._aliases.get(publish.alias or 0, b"")

    def _ask_provisioning(self, data: bytes, at: Frame) -> None:
        publish = packets.read_publish(data, at, self.level)
        if publish.packet_id:
            self.stream.write(packets.write_puback(publish.packet_id, self.level))
        front, payload = self.gateway, bytes(data[publish.payload : at.end])
        task = asyncio.get_running_loop().create_task(
            provisioning.answer(front, self, self._topic_of(publish), payload, front.provisioning_socket)
        )
        self._asked.add(task)  # asyncio itself keeps no task alive
        task.add_done_callback(self._asked.discard)

    def _publish_verdict(self, data: bytes, at: Frame) -> Verdict:
        publish = packets.read_publish(data, at, self.level)
        size = at.end - publish.payload
        if size > limits.MAXIMUM_PAYLOAD:
            raise MalformedPacketError(f"payload of {size} bytes; AWS IoT takes {limits.MAXIMUM_PAYLOAD}", 0x95)
        topic = publish.topic
        if publish.alias is not None:
            if not 1 <= publish.alias <= limits.TOPIC_ALIAS_MAXIMUM:
                raise MalformedPacketError(f"topic alias {publish.alias}", 0x94)
            topic = topic or self._aliases.get(publish.alias, b"")
            self._aliases[publish.alias] = topic
        if not topic:
            raise MalformedPacketError("PUBLISH without a topic", 0x82)
        if at.flags & 4:
            # mqtt.html: "When QoS level 2 is requested, the message broker doesn't send a PUBACK or SUBACK"; MQTT 5 was
            # told the maximum, and section 3.2.2.3.4 asks for 0x9B
            if self.level == V5:
                raise MalformedPacketError("QoS 2, which AWS IoT does not support", 0x9B)
            return Verdict(0x9B, "QoS 2, which AWS IoT does not support", "iot:Publish", silent=True)
        if self.gateway.publishes_per_second is not None and self._too_fast(self.gateway.publishes_per_second):
            reason = f"more than {self.gateway.publishes_per_second} publishes a second"
            return Verdict(0x97, reason, "iot:Publish", silent=True)
        verdict = self.authorization.verdict("retain" if at.flags & 1 else "publish", topic)
        if verdict is ALLOWED:
            self.journal.message_in(self.client_id, topic, size)
        return verdict

    def _too_fast(self, limit: int) -> bool:
        second = int(self._heard)
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second > limit

    def _deny_publish(self, data: bytes, at: Frame) -> None:
        publish = packets.read_publish(data, at, self.level)
        topic = self._topic_of(publish)
        verdict = self._denial
        self._deny(verdict, topic=topic.decode(errors="replace"))
        acknowledge = verdict.silent or (
            self.gateway.denied_publish is limits.DeniedPublish.PUBACK and not verdict.fatal
        )
        if self.level == V5 and publish.packet_id and acknowledge:
            self.stream.write(packets.write_puback(publish.packet_id, V5, verdict.code))
        elif not verdict.silent:
            self.close(f"publish denied: {verdict.reason}", verdict.code)

    def _subscribe(self, data: bytes, at: Frame) -> bool:
        subscribe = packets.read_subscribe(data, at, self.level)
        if any(identifier == packets.SUBSCRIPTION_ID for identifier, _ in subscribe.properties):
            raise MalformedPacketError("subscription identifier, which AWS IoT does not support", 0xA1)
        if any(options & 3 == 2 for _, options in subscribe.filters):
            self._deny(Verdict(0x9B, "QoS 2, which AWS IoT does not support", "iot:Subscribe"))
            return False  # no SUBACK, see _publish_verdict
        count = len(subscribe.filters)
        if count > limits.MAXIMUM_SUBSCRIPTIONS:
            reason = f"{count} topic filters in one SUBSCRIBE; AWS IoT takes {limits.MAXIMUM_SUBSCRIPTIONS}"
            verdicts = [Verdict(0x97, reason, "iot:Subscribe")] * count
        else:
            verdicts = [self.authorization.subscribe(topic_filter) for topic_filter, _ in subscribe.filters]
        denied = [verdict for verdict in verdicts if verdict is not ALLOWED]
        for verdict in denied:
            self._deny(verdict)
        if denied and (self.level == V311 or any(verdict.fatal for verdict in denied)):
            self.close(f"subscribe denied: {denied[0].reason}", denied[0].code)
            return False
        granted = [item for item, verdict in zip(subscribe.filters, verdicts, strict=True) if verdict is ALLOWED]
        for topic_filter, options in granted:
            self.exact_filters.add(topic_filter.encode())
            self.retain_as_published |= bool(self.level == V5 and options & 8)
        if not denied:
            return True
        if granted:
            self.pending_subacks[subscribe.packet_id] = [verdict.code or None for verdict in verdicts]
            rest = packets.Subscribe(subscribe.packet_id, tuple(granted), subscribe.properties)
            raw = packets.write_subscribe(rest, self.level)
            self._forward(raw, 0, len(raw))
        else:
            codes = bytes(verdict.code for verdict in verdicts)
            self.stream.write(packets.write_suback(subscribe.packet_id, codes, self.level))
        return False
