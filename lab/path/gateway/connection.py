"""One device's connection: what it sends is read, judged and passed on to the broker as it is.

Rules and where they come from: limits.py, authorization.py and docs/fidelity/gateway.md.
"""

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, cast

from lab.path.gateway import limits, packets
from lab.path.gateway.authorization import ALLOWED, Authorization, Peer, Verdict
from lab.path.gateway.broker_link import BrokerLink
from lab.path.gateway.packets import V5, V311, Connect, Frame, MalformedPacketError
from lab.path.gateway.table import Certificate, Listener

if TYPE_CHECKING:
    from lab.path.gateway.server import Gateway

CONNECT_TIMEOUT = 30.0
"""Seconds that a device has to send its CONNECT after the TLS handshake (section 3.1 of MQTT 5.0: "reasonable")."""

_UNSUPPORTED = frozenset({packets.PUBREC, packets.PUBREL, packets.PUBCOMP, packets.AUTH})
"""Packets that AWS IoT does not support (developerguide/mqtt.html, "differences from MQTT specifications")."""

_PASSED = frozenset({packets.PUBACK, packets.PINGREQ})


class DeviceConnection(asyncio.Protocol):
    """The side of a device.

    Args:
        gateway: the gateway that it belongs to.
        listener: where it arrived.
        needs_alpn: whether its port asks for the MQTT ALPN protocol.
    """

    def __init__(self, gateway: "Gateway", listener: Listener, *, needs_alpn: bool) -> None:
        self.gateway = gateway
        self._needs_alpn = needs_alpn
        self.listener = listener
        self.level = V311
        self.connect: Connect | None = None
        self.peer: Peer | None = None
        self.since = time.time()
        self.closed = False
        self.messages_in = self.messages_out = 0
        self.pending_subacks: dict[int, list[int | None]] = {}
        self.exact_filters: set[bytes] = set()
        self.retain_as_published = False
        self.predecessor: DeviceConnection | None = None
        self._established = False
        self._transport: asyncio.Transport | None = None
        self._authorization: Authorization | None = None
        self._broker: BrokerLink | None = None
        self._pending = bytearray()
        self._needed = 0
        self._aliases: dict[int, bytes] = {}
        self._heard = 0.0
        self._keep_alive = 0
        self._timer: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._second, self._in_second = 0, 0

    # --- life -------------------------------------------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport:
        """The TLS transport."""
        assert self._transport is not None  # noqa: S101 - connection_made comes first
        return self._transport

    @property
    def authorization(self) -> Authorization:
        """What the connection may do under the table in force."""
        assert self._authorization is not None  # noqa: S101 - asked for only after CONNECT
        return self._authorization

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is up: look at the certificate."""
        self._transport = cast("asyncio.Transport", transport)
        peer, fault = self.gateway.identify(self._transport, needs_alpn=self._needs_alpn)
        self.peer = peer
        if fault is not None:
            self.gateway.journal.counters.refused_handshakes += 1
            self.gateway.journal.write("certificate-refused", reason=fault, **self.details())
            self.closed = True
            self._transport.close()
            return
        self.gateway.connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(CONNECT_TIMEOUT, self._connect_overdue)

    def _connect_overdue(self) -> None:
        if self.connect is None:
            self.close("no CONNECT in time", 0x81)

    def connection_lost(self, _: Exception | None) -> None:
        """The device is gone; without a DISCONNECT the broker publishes its will."""
        self.close("connection lost")

    def pause_writing(self) -> None:
        """The device reads too slowly."""
        if self._broker is not None:
            self._broker.transport.pause_reading()

    def resume_writing(self) -> None:
        """The device has caught up."""
        if self._broker is not None and not self._broker.transport.is_closing():
            self._broker.transport.resume_reading()

    def details(self) -> dict[str, object]:
        """Who this is, for the log and for ``status``."""
        peer = self.peer
        return {
            "clientId": self.connect.client_id if self.connect else None,
            "thing": self._authorization.thing if self._authorization else None,
            "peer": f"{peer.address}:{peer.port}" if peer else None,
            "certificateId": peer.certificate_id if peer else None,
            "listener": self.listener.address,
            "vpcEndpointId": self.listener.vpc_endpoint_id,
        }

    def close(self, reason: str, code: int | None = None, *, keep_broker: bool = False) -> None:
        """End the connection.

        Args:
            reason: for the log.
            code: reason code of the DISCONNECT that an MQTT 5 client is sent; MQTT 3.1.1 is only hung up on.
            keep_broker: leave the broker's side to end by itself (a newer connection takes the session over).
        """
        if self.closed:
            return
        self.closed = True
        self.gateway.connections.discard(self)
        self.gateway.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._opening is not None and self._opening is not asyncio.current_task():
            self._opening.cancel()
        if code is not None and self.level == V5 and self._established:
            self.transport.write(packets.write_disconnect(code))
        if self._broker is not None and not keep_broker:
            self._broker.transport.close()
        self.transport.close()
        self.gateway.journal.write(
            "disconnected" if self._established else "connection-ended", reason=reason, **self.details()
        )

    def abandon_broker(self) -> None:
        """End the broker's side that ``keep_broker`` left."""
        if self._broker is not None:
            self._broker.transport.abort()

    def _deny(self, verdict: Verdict, **details: object) -> None:
        self.gateway.journal.denied(verdict.action, verdict.reason, **self.details(), **details)

    # --- bytes ------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read whole packets; what may pass is written to the broker in as few pieces as possible."""
        if self.closed:
            return
        self._heard = asyncio.get_running_loop().time()
        if self._pending or (self.connect is not None and not self._established):
            self._pending += data
            if len(self._pending) < self._needed or (self.connect is not None and not self._established):
                return
            data = bytes(self._pending)
            self._pending.clear()
        try:
            self._read(data)
        except MalformedPacketError as error:
            self._fail(str(error), error.reason_code)

    def _fail(self, reason: str, code: int) -> None:
        self.close(reason, code)

    def _read(self, data: bytes) -> None:
        position = run = 0
        size = len(data)
        self._needed = 0
        while not self.closed:
            at = packets.frame(data, position)
            if at is None:
                break
            if at.end - at.start > limits.MAXIMUM_PACKET:
                self._fail(f"packet of {at.end - at.start} bytes; AWS IoT takes {limits.MAXIMUM_PACKET}", 0x95)
                return
            if at.end > size:
                self._needed = at.end - position
                break
            if self.connect is None:
                self._first(data, at)
                self._pending += data[at.end :]
                return
            if not (at.kind in _PASSED or self._passes(data, at)):
                self._forward(data, run, position)
                run = at.end
            position = at.end
        if not self.closed:
            self._forward(data, run, position)
            self._pending += data[position:]

    def _forward(self, data: bytes, start: int, end: int) -> None:
        if start < end and self._broker is not None:
            self._broker.transport.write(data if end - start == len(data) else memoryview(data)[start:end])

    def _passes(self, data: bytes, at: Frame) -> bool:
        """Whether the broker gets the packet as it is."""
        if at.kind == packets.PUBLISH:
            return self._publish(data, at)
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

    def _first(self, data: bytes, at: Frame) -> None:
        if at.kind != packets.CONNECT:
            raise MalformedPacketError("the first packet is no CONNECT", 0x82)
        name, level = packets.protocol_of(data, at)
        if name != "MQTT" or level not in (V311, V5):
            self._refuse(0x84, 1, f"protocol {name!r} level {level}; AWS IoT takes MQTT 3.1.1 and 5")
            return
        self.level = level
        connect = packets.read_connect(data, at)
        if any(identifier == packets.AUTHENTICATION_METHOD for identifier, _ in connect.properties):
            self._refuse(0x8C, None, "enhanced authentication, which AWS IoT does not support")
            return
        client_id = connect.client_id
        if len(client_id.encode()) > limits.MAXIMUM_CLIENT_ID or (
            not client_id and level == V311 and not connect.clean
        ):
            self._refuse(
                0x85, 2, f"client ID of {len(client_id.encode())} bytes; AWS IoT takes 1 to {limits.MAXIMUM_CLIENT_ID}"
            )
            return
        assigned = not client_id
        if assigned:
            client_id = f"$GEN/{uuid.uuid4()}"
        if connect.will is not None and connect.will.qos == 2:
            self._refuse(0x9B, None, "will with QoS 2, which AWS IoT does not support")
            return
        self.connect = Connect(**{**connect.__dict__, "client_id": client_id})
        if self._authorize() is None:
            return
        self._keep_alive = limits.effective_keep_alive(
            connect.keep_alive, over_vpc_endpoint=self.listener.vpc_endpoint_id is not None
        )
        self.predecessor = self.gateway.remember(self)
        self._opening = asyncio.get_running_loop().create_task(self._open(assigned=assigned))

    def _refuse(self, code: int, return_code: int | None, reason: str) -> None:
        """Refuse a CONNECT: MQTT 5 is told why, MQTT 3.1.1 only where its CONNACK has a code that AWS IoT sends."""
        if self.level == V5:
            self.transport.write(packets.write_connack(V5, code))
        elif return_code is not None:
            self.transport.write(packets.write_connack(V311, return_code))
        self.close(reason)

    def _authorize(self) -> Certificate | None:
        """Judge the connection under the gateway's table; ends it and returns None when it may not be."""
        assert self.connect is not None and self.peer is not None  # noqa: S101 - called after CONNECT
        table = self.gateway.table
        certificate = table.certificates.get(self.peer.certificate_id)
        if certificate is None or certificate.status != "ACTIVE":
            # API_UpdateCertificate.html: devices are disconnected "within a few minutes" of leaving ACTIVE
            self.close(f"certificate is {certificate.status if certificate else 'not registered'}", 0x87)
            return None
        self._authorization = Authorization(table, self.listener, self.peer, certificate, self.connect)
        verdict = self._authorization.connect()
        if verdict is not ALLOWED:
            self._deny(verdict)
            if self._established:
                self.close("no longer authorized to connect", 0x87)
            else:
                self._refuse(0x87, None, "not authorized to connect")
            return None
        return certificate

    def reauthorize(self) -> None:
        """Look at the connection again after the table changed."""
        if self.connect is not None:
            self._authorize()

    async def _open(self, *, assigned: bool) -> None:
        assert self.connect is not None  # noqa: S101 - called after CONNECT
        loop = asyncio.get_running_loop()
        try:
            _, self._broker = await loop.create_unix_connection(
                lambda: BrokerLink(self, assigned=assigned), str(self.gateway.broker_socket)
            )
        except OSError as error:
            self._refuse(0x88, 3, f"the broker does not answer: {error}")
            return
        # The gateway watches the keep-alive; the broker must not, since its idea of it is another.
        self._broker.transport.write(packets.write_connect(Connect(**{**self.connect.__dict__, "keep_alive": 65535})))

    def connection_acknowledged(
        self, code: int, properties: list[packets.Property], *, session_present: bool, assigned: bool
    ) -> None:
        """The broker has answered the CONNECT: tell the device in AWS IoT's words."""
        assert self.connect is not None  # noqa: S101 - called after CONNECT
        if self.predecessor is not None:
            self.predecessor.abandon_broker()
            self.predecessor = None
        if code:
            self.transport.write(packets.write_connack(self.level, code))
            self.close(f"the broker refused the connection with code {code}")
            return
        told = [item for item in properties if item[0] == packets.SESSION_EXPIRY]
        told += [
            (packets.RECEIVE_MAXIMUM, limits.RECEIVE_MAXIMUM),
            (packets.MAXIMUM_QOS, 1),
            (packets.RETAIN_AVAILABLE, 1),
            (packets.MAXIMUM_PACKET_SIZE, limits.MAXIMUM_PACKET),
            (packets.TOPIC_ALIAS_MAXIMUM, limits.TOPIC_ALIAS_MAXIMUM),
            (packets.WILDCARD_AVAILABLE, 1),
            (packets.SUBSCRIPTION_ID_AVAILABLE, 0),
            (packets.SHARED_AVAILABLE, 1),
        ]
        if assigned:
            told.append((packets.ASSIGNED_CLIENT_ID, self.connect.client_id.encode()))
        if self._keep_alive != self.connect.keep_alive:
            told.append((packets.SERVER_KEEP_ALIVE, self._keep_alive))
        self.transport.write(packets.write_connack(self.level, 0, session_present=session_present, properties=told))
        self._established = True
        self.since = time.time()
        self.gateway.journal.counters.accepted += 1
        self.gateway.journal.write(
            "connected",
            protocol=self.level,
            keepAlive=self._keep_alive,
            sessionPresent=session_present,
            **self.details(),
        )
        self._watch()
        held, self._pending = bytes(self._pending), bytearray()
        if held:
            self.data_received(held)

    def _watch(self) -> None:
        """Drop the device after one and a half keep-alives of silence, else look again when that may be."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._heard = self._heard or loop.time()
        deadline = self._heard + self._keep_alive * limits.GRACE
        if loop.time() >= deadline:
            self.close(f"nothing heard for {self._keep_alive * limits.GRACE:g} s", 0x8D)
        else:
            self._timer = loop.call_at(deadline, self._watch)

    # --- PUBLISH and SUBSCRIBE --------------------------------------------------------------------------------------

    def _publish(self, data: bytes, at: Frame) -> bool:
        publish = packets.read_publish(data, at, self.level)
        if at.end - publish.payload > limits.MAXIMUM_PAYLOAD:
            self._fail(f"payload of {at.end - publish.payload} bytes; AWS IoT takes {limits.MAXIMUM_PAYLOAD}", 0x95)
            return False
        topic = publish.topic
        if publish.alias is not None:
            if not 1 <= publish.alias <= limits.TOPIC_ALIAS_MAXIMUM:
                raise MalformedPacketError(f"topic alias {publish.alias}", 0x94)
            topic = topic or self._aliases.get(publish.alias, b"")
            self._aliases[publish.alias] = topic
        if not topic:
            raise MalformedPacketError("PUBLISH without a topic", 0x82)
        if at.flags & 4:
            return self._quality_of_service_2()
        if self.gateway.publishes_per_second is not None and self._too_fast(publish.packet_id):
            return False
        verdict = self.authorization.verdict("retain" if at.flags & 1 else "publish", topic)
        if verdict is ALLOWED:
            self.messages_in += 1
            self.gateway.journal.counters.messages_in += 1
            return True
        self._deny(verdict, topic=topic.decode(errors="replace"))
        acknowledge = self.gateway.denied_publish is limits.DeniedPublish.PUBACK and not verdict.fatal
        if self.level == V5 and publish.packet_id and acknowledge:
            self.transport.write(packets.write_puback(publish.packet_id, V5, verdict.code))
        else:
            self._fail(f"publish denied: {verdict.reason}", verdict.code)
        return False

    def _quality_of_service_2(self) -> bool:
        """MQTT 5 was told the maximum (section 3.2.2.3.4: 0x9B); MQTT 3.1.1 gets no answer at all.

        Source: developerguide/mqtt.html: "When QoS level 2 is requested, the message broker doesn't send a PUBACK or SUBACK".
        """
        if self.level == V5:
            raise MalformedPacketError("QoS 2, which AWS IoT does not support", 0x9B)
        self._deny(Verdict(0x9B, "QoS 2, which AWS IoT does not support", "iot:Publish"))
        return False

    def _too_fast(self, packet_id: int) -> bool:
        """Whether a publish exceeds the quota; MQTT 5 is told by PUBACK 0x97, MQTT 3.1.1 has to send it again."""
        second = int(self._heard)
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        limit = self.gateway.publishes_per_second
        if limit is None or self._in_second <= limit:
            return False
        self._deny(Verdict(0x97, f"more than {limit} publishes a second", "iot:Publish"))
        if self.level == V5 and packet_id:
            self.transport.write(packets.write_puback(packet_id, V5, 0x97))
        return True

    def _subscribe(self, data: bytes, at: Frame) -> bool:
        subscribe = packets.read_subscribe(data, at, self.level)
        if any(identifier == packets.SUBSCRIPTION_ID for identifier, _ in subscribe.properties):
            raise MalformedPacketError("subscription identifier, which AWS IoT does not support", 0xA1)
        if any(options & 3 == 2 for _, options in subscribe.filters):
            self._deny(Verdict(0x9B, "QoS 2, which AWS IoT does not support", "iot:Subscribe"))
            return False  # see _quality_of_service_2: no SUBACK
        if len(subscribe.filters) > limits.MAXIMUM_SUBSCRIPTIONS:
            reason = (
                f"{len(subscribe.filters)} topic filters in one SUBSCRIBE; AWS IoT takes {limits.MAXIMUM_SUBSCRIPTIONS}"
            )
            verdicts = [Verdict(0x97, reason, "iot:Subscribe")] * len(subscribe.filters)
        else:
            verdicts = [self.authorization.subscribe(topic_filter) for topic_filter, _ in subscribe.filters]
        denied = [verdict for verdict in verdicts if verdict is not ALLOWED]
        for verdict in denied:
            self._deny(verdict)
        if denied and (self.level == V311 or any(verdict.fatal for verdict in denied)):
            self._fail(f"subscribe denied: {denied[0].reason}", denied[0].code)
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
            self.transport.write(packets.write_suback(subscribe.packet_id, codes, self.level))
        return False
