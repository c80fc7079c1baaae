"""The broker's side of one device's connection: what comes from mosquitto is judged by iot:Receive and passed on."""

import asyncio
from typing import Protocol, cast

from lab.path.gateway import packets
from lab.path.gateway.authorization import ALLOWED, Authorization
from lab.path.gateway.journal import Journal
from lab.path.gateway.packets import Frame, Property
from lab.path.gateway.tls_stream import TlsStream

_PASSED = frozenset({packets.PUBACK, packets.PINGRESP, packets.UNSUBACK})


class DeviceSide(Protocol):
    """What the broker's side asks of the device's."""

    stream: TlsStream
    authorization: Authorization
    journal: Journal
    client_id: str | None
    level: int
    closed: bool
    messages_out: int
    pending_subacks: dict[int, list[int | None]]
    exact_filters: set[bytes]
    retain_as_published: bool

    def details(self) -> dict[str, object]:
        """Who this is, for the log."""

    def connection_acknowledged(self, code: int, properties: list[Property], *, session_present: bool) -> None:
        """The broker has answered the CONNECT."""

    def close(self, reason: str, code: int | None = None) -> None:
        """End the connection."""


class BrokerLink(asyncio.Protocol):
    """A connection to the broker on behalf of one device."""

    _transport: asyncio.Transport

    def __init__(self, device: DeviceSide) -> None:
        self._device = device
        self._pending = bytearray()
        self._needed = 0
        self._aliases: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        """The broker has ended the connection, or has itself ended."""
        self._device.close("the broker closed the connection", 0x8B)

    def pause_writing(self) -> None:
        """The broker reads too slowly."""
        self._device.stream.pause_reading()

    def resume_writing(self) -> None:
        """The broker has caught up."""
        self._device.stream.resume_reading()

    def write(self, data: bytes | memoryview) -> None:
        """Send to the broker; dropped when the connection is ending."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Send what is left and end the connection."""
        self._transport.close()

    def pause_reading(self) -> None:
        """Take no more from the broker for now."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take data from the broker again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Read whole packets and write to the device what it may have."""
        if self._device.closed:
            return
        if self._pending:
            self._pending += data
            if len(self._pending) < self._needed:
                return
            data = bytes(self._pending)
            self._pending.clear()
        position = run = 0  # [run, position) may pass and is not written yet
        self._needed = 0
        while not self._device.closed:
            at = packets.frame(data, position)
            if at is None:
                break
            if at.end > len(data):
                self._needed = at.end - position
                break
            if at.kind in _PASSED or (at.kind == packets.PUBLISH and self._may_deliver(data, at)):
                position = at.end
                continue
            self._forward(data, run, position)  # what came before goes first
            run = position if self._handle(data, at) else at.end
            position = at.end
        self._forward(data, run, position)
        self._pending += data[position:]

    def _forward(self, data: bytes, start: int, end: int) -> None:
        if start < end and not self._device.closed:
            self._device.stream.write(data if end - start == len(data) else memoryview(data)[start:end])

    def _handle(self, data: bytes, at: Frame) -> bool:
        """Deal with a packet that does not simply pass; whether the device gets it as it is."""
        device = self._device
        if at.kind == packets.PUBLISH:
            if at.flags & 6:  # the broker waits for an acknowledgement that the device cannot send
                publish = packets.read_publish(data, at, device.level)
                self.write(packets.write_puback(publish.packet_id, device.level))
            return False
        if at.kind == packets.DISCONNECT:  # the broker has its reasons; they are the last word to the device
            self._forward(data, at.start, at.end)
            device.close("the broker ended the connection")
            return False
        if at.kind == packets.CONNACK:
            present, code, properties = packets.read_connack(data, at, device.level)
            device.connection_acknowledged(code, properties, session_present=present)
            return False
        if at.kind == packets.SUBACK and device.pending_subacks:
            packet_id, properties, codes = packets.read_acknowledgement(data, at, device.level)
            places = device.pending_subacks.pop(packet_id, None)
            if places is not None:
                granted = iter(codes)
                merged = bytes(next(granted) if place is None else place for place in places)
                device.stream.write(packets.write_suback(packet_id, merged, device.level, properties))
                return False
        return True

    def _may_deliver(self, data: bytes, at: Frame) -> bool:
        device = self._device
        publish = packets.read_publish(data, at, device.level)
        topic = publish.topic
        if publish.alias is not None:
            topic = topic or self._aliases.get(publish.alias, b"")
            self._aliases[publish.alias] = topic
        # mqtt.html: "Subscription to topic filters that contain a wildcard character can't receive retained messages"
        retained = at.flags & 1 and not device.retain_as_published and topic not in device.exact_filters
        verdict = device.authorization.verdict("receive", topic)
        if verdict is ALLOWED and not retained:
            device.messages_out += 1
            device.journal.message_out(device.client_id, topic, at.end - publish.payload)
            return True
        if verdict is not ALLOWED:
            device.journal.denied(
                verdict.action, verdict.reason, topic=topic.decode(errors="replace"), **device.details()
            )
        return False
