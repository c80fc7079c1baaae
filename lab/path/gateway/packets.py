"""MQTT 3.1.1 and 5 packets, as far as a gateway has to read and write them.

Sources: docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/ and docs.oasis-open.org/mqtt/mqtt/v5.0/os/; section numbers are those
of MQTT 5.0. Nothing is copied that only has to be passed on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

V311, V5 = 4, 5

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE = 1, 2, 3, 4, 5, 6, 7, 8
SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 9, 10, 11, 12, 13, 14, 15

Buffer = bytes | bytearray | memoryview


class MalformedPacketError(ValueError):
    """The bytes are no MQTT packet of the connection's version.

    Attributes:
        reason_code: the MQTT 5 reason code that says so.
    """

    def __init__(self, message: str, reason_code: int = 0x81) -> None:
        super().__init__(message)
        self.reason_code = reason_code


class Frame(NamedTuple):
    """Where a packet lies in a buffer: [start, body) is the fixed header, [body, end) the rest."""

    kind: int
    flags: int
    start: int
    body: int
    end: int


def frame(data: Buffer, start: int) -> Frame | None:
    """Find the packet that begins at ``start``; None while its fixed header is incomplete (section 2.1.4).

    ``end`` may lie behind the data: the packet is then not complete yet.

    Raises:
        MalformedPacketError: the length takes more than four bytes, or the packet's type is 0.
    """
    size = len(data)
    if start + 2 > size:
        return None
    first = data[start]
    if first < 0x10:
        raise MalformedPacketError("packet type 0")
    length = shift = 0
    position = start + 1
    while True:
        if position >= size:
            return None
        byte = data[position]
        position += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return Frame(first >> 4, first & 0x0F, start, position, position + length)
        shift += 7
        if shift > 21:
            raise MalformedPacketError("remaining length of more than four bytes")


class Reader:
    """Reads the fields of one packet's body in order."""

    def __init__(self, data: Buffer, position: int, end: int) -> None:
        self._data = data
        self.position = position
        self.end = end

    def byte(self) -> int:
        """One byte."""
        if self.position >= self.end:
            raise MalformedPacketError("packet ends too early")
        value = self._data[self.position]
        self.position += 1
        return value

    def integer(self, size: int) -> int:
        """A big-endian number of ``size`` bytes."""
        return int.from_bytes(self.take(size), "big")

    def variable(self) -> int:
        """A variable byte integer (section 1.5.5)."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 21:
                raise MalformedPacketError("variable byte integer of more than four bytes")

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        start, self.position = self.position, self.position + size
        if self.position > self.end:
            raise MalformedPacketError("packet ends too early")
        return bytes(self._data[start : self.position])

    def binary(self) -> bytes:
        """Binary data with two bytes of length in front (section 1.5.6)."""
        return self.take(self.integer(2))

    def text(self) -> str:
        """A UTF-8 string (section 1.5.4)."""
        return text_of(self.binary())

    def more(self) -> bool:
        """Whether anything is left."""
        return self.position < self.end


def text_of(raw: bytes) -> str:
    """Decode a UTF-8 string; U+0000 and ill-formed sequences are malformed (section 1.5.4)."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedPacketError("a string is not UTF-8") from error
    if "\0" in text:
        raise MalformedPacketError("a string holds U+0000")
    return text


def variable(value: int) -> bytes:
    """A variable byte integer (section 1.5.5)."""
    encoded = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        if not value:
            encoded.append(byte)
            return bytes(encoded)
        encoded.append(byte | 0x80)


def binary(raw: bytes) -> bytes:
    """Two bytes of length and the data (section 1.5.6)."""
    return len(raw).to_bytes(2, "big") + raw


def packet(kind: int, flags: int, body: bytes) -> bytes:
    """A whole packet."""
    return bytes([kind << 4 | flags]) + variable(len(body)) + body


# Properties (section 2.2.2.2): identifier → how the value is written.
_ONE = frozenset({0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A})
_TWO = frozenset({0x13, 0x21, 0x22, 0x23})
_FOUR = frozenset({0x02, 0x11, 0x18, 0x27})
_VARIABLE = frozenset({0x0B})
_BINARY = frozenset({0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F})
_USER = 0x26

SESSION_EXPIRY, ASSIGNED_CLIENT_ID, SERVER_KEEP_ALIVE, AUTHENTICATION_METHOD = 0x11, 0x12, 0x13, 0x15
SUBSCRIPTION_ID, REASON_STRING, RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS = 0x0B, 0x1F, 0x21, 0x22, 0x23
MAXIMUM_QOS, RETAIN_AVAILABLE, MAXIMUM_PACKET_SIZE = 0x24, 0x25, 0x27
WILDCARD_AVAILABLE, SUBSCRIPTION_ID_AVAILABLE, SHARED_AVAILABLE = 0x28, 0x29, 0x2A

Property = tuple[int, int | bytes | tuple[bytes, bytes]]
"""Identifier and value: a number, the raw bytes of a string or binary, or a pair of strings."""


def read_properties(reader: Reader) -> list[Property]:
    """Read a property list and leave the reader behind it."""
    length = reader.variable()
    end, packet_end = reader.position + length, reader.end
    if end > packet_end:
        raise MalformedPacketError("properties end behind the packet")
    reader.end = end
    found: list[Property] = []
    while reader.more():
        identifier = reader.variable()
        value: int | bytes | tuple[bytes, bytes]
        if identifier == _USER:
            value = (reader.binary(), reader.binary())
        elif identifier in _BINARY:
            value = reader.binary()
        elif identifier in _ONE:
            value = reader.integer(1)
        elif identifier in _TWO:
            value = reader.integer(2)
        elif identifier in _FOUR:
            value = reader.integer(4)
        elif identifier in _VARIABLE:
            value = reader.variable()
        else:
            raise MalformedPacketError(f"unknown property 0x{identifier:02X}")
        if identifier != _USER and any(identifier == known for known, _ in found):
            raise MalformedPacketError(f"property 0x{identifier:02X} twice", 0x82)
        found.append((identifier, value))
    reader.end = packet_end
    return found


def write_properties(properties: Iterable[Property]) -> bytes:
    """Write a property list, its length in front."""
    body = bytearray()
    for identifier, value in properties:
        body.append(identifier)
        if isinstance(value, tuple):
            body += binary(value[0]) + binary(value[1])
        elif isinstance(value, bytes):
            body += binary(value)
        elif identifier in _VARIABLE:
            body += variable(value)
        else:
            body += value.to_bytes(1 if identifier in _ONE else 2 if identifier in _TWO else 4, "big")
    return variable(len(body)) + bytes(body)


@dataclass(frozen=True)
class Will:
    """The message that the server publishes when the client is gone without a goodbye."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True)
class Connect:
    """A CONNECT of MQTT 3.1.1 or 5 (section 3.1)."""

    level: int
    client_id: str
    clean: bool
    keep_alive: int
    will: Will | None = None
    username: bytes | None = None
    password: bytes | None = None
    properties: tuple[Property, ...] = ()


def protocol_of(data: Buffer, at: Frame) -> tuple[str, int]:
    """The protocol's name and level of a CONNECT, which say how the rest is written."""
    reader = Reader(data, at.body, at.end)
    return reader.text(), reader.byte()


def read_connect(data: Buffer, at: Frame) -> Connect:
    """Read a CONNECT of level 4 or 5."""
    reader = Reader(data, at.body, at.end)
    name, level = reader.text(), reader.byte()
    if name != "MQTT" or level not in (V311, V5) or at.flags:
        raise MalformedPacketError("no CONNECT of MQTT 3.1.1 or 5")
    flags = reader.byte()
    qos = flags >> 3 & 3
    if flags & 1 or qos == 3 or (not flags & 4 and flags & 0x38) or (level == V311 and flags & 0xC0 == 0x40):
        raise MalformedPacketError("impossible connect flags")
    keep_alive = reader.integer(2)
    properties = read_properties(reader) if level == V5 else []
    client_id = reader.text()
    will = None
    if flags & 4:
        will_properties = read_properties(reader) if level == V5 else []
        will = Will(reader.text(), reader.binary(), qos, bool(flags & 0x20), tuple(will_properties))
    username = reader.binary() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    if reader.more():
        raise MalformedPacketError("bytes behind the CONNECT's last field")
    return Connect(level, client_id, bool(flags & 2), keep_alive, will, username, password, tuple(properties))


def write_connect(connect: Connect) -> bytes:
    """Write a CONNECT."""
    will = connect.will
    flags = connect.clean << 1 | (connect.username is not None) << 7 | (connect.password is not None) << 6
    if will:
        flags |= 4 | will.qos << 3 | will.retain << 5
    body = bytearray(binary(b"MQTT") + bytes([connect.level, flags]) + connect.keep_alive.to_bytes(2, "big"))
    if connect.level == V5:
        body += write_properties(connect.properties)
    body += binary(connect.client_id.encode())
    if will:
        if connect.level == V5:
            body += write_properties(will.properties)
        body += binary(will.topic.encode()) + binary(will.payload)
    for credential in (connect.username, connect.password):
        if credential is not None:
            body += binary(credential)
    return packet(CONNECT, 0, bytes(body))


class Publish(NamedTuple):
    """Where the parts of a PUBLISH lie (section 3.3): the topic's bytes, and where the payload begins."""

    topic: bytes
    packet_id: int
    alias: int | None
    payload: int


def read_publish(data: Buffer, at: Frame, level: int) -> Publish:
    """Read all of a PUBLISH but its payload.

    The topic is left as bytes: a gateway looks it up in what it has decided before.
    """
    start, end = at.body, at.end
    topic_end = start + 2 + (data[start] << 8 | data[start + 1]) if end - start >= 2 else end + 1
    position = topic_end + (2 if at.flags & 6 else 0)
    if position > end:
        raise MalformedPacketError("PUBLISH ends too early")
    topic = bytes(data[start + 2 : topic_end])
    packet_id = 0
    if at.flags & 6:
        packet_id = data[topic_end] << 8 | data[topic_end + 1]
        if not packet_id or at.flags & 6 == 6:
            raise MalformedPacketError("packet identifier 0 or QoS 3")
    alias: int | None = None
    if level == V5:
        if position >= end:
            raise MalformedPacketError("PUBLISH without properties")
        if data[position] == 0:
            position += 1
        else:
            reader = Reader(data, position, end)
            for identifier, value in read_properties(reader):
                if identifier == TOPIC_ALIAS and isinstance(value, int):
                    alias = value
            position = reader.position
    return Publish(topic, packet_id, alias, position)


@dataclass(frozen=True)
class Subscribe:
    """A SUBSCRIBE (section 3.8); each filter with its options byte, of which the lowest two bits are the QoS."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]
    properties: tuple[Property, ...] = field(default=())


def read_subscribe(data: Buffer, at: Frame, level: int) -> Subscribe:
    """Read a SUBSCRIBE."""
    reader = Reader(data, at.body, at.end)
    packet_id = reader.integer(2)
    properties = read_properties(reader) if level == V5 else []
    filters: list[tuple[str, int]] = []
    while reader.more():
        filters.append((reader.text(), reader.byte()))
    if at.flags != 2 or not packet_id or not filters or any(options & 3 == 3 for _, options in filters):
        raise MalformedPacketError("no filter, packet identifier 0 or QoS 3 in SUBSCRIBE", 0x82)
    return Subscribe(packet_id, tuple(filters), tuple(properties))


def write_subscribe(subscribe: Subscribe, level: int) -> bytes:
    """Write a SUBSCRIBE."""
    body = bytearray(subscribe.packet_id.to_bytes(2, "big"))
    if level == V5:
        body += write_properties(subscribe.properties)
    for topic_filter, options in subscribe.filters:
        body += binary(topic_filter.encode()) + bytes([options])
    return packet(SUBSCRIBE, 2, bytes(body))


def read_unsubscribe(data: Buffer, at: Frame, level: int) -> tuple[str, ...]:
    """The topic filters of an UNSUBSCRIBE (section 3.10)."""
    reader = Reader(data, at.body, at.end)
    packet_id = reader.integer(2)
    if level == V5:
        read_properties(reader)
    filters: list[str] = []
    while reader.more():
        filters.append(reader.text())
    if at.flags != 2 or not packet_id or not filters:
        raise MalformedPacketError("no filter or packet identifier 0 in UNSUBSCRIBE", 0x82)
    return tuple(filters)


def read_acknowledgement(data: Buffer, at: Frame, level: int) -> tuple[int, list[Property], bytes]:
    """Packet identifier, properties and reason codes of a SUBACK (section 3.9)."""
    reader = Reader(data, at.body, at.end)
    packet_id = reader.integer(2)
    properties = read_properties(reader) if level == V5 else []
    return packet_id, properties, reader.take(at.end - reader.position)


def write_suback(packet_id: int, codes: bytes, level: int, properties: Iterable[Property] = ()) -> bytes:
    """Write a SUBACK."""
    between = write_properties(properties) if level == V5 else b""
    return packet(SUBACK, 0, packet_id.to_bytes(2, "big") + between + codes)


def read_connack(data: Buffer, at: Frame, level: int) -> tuple[bool, int, list[Property]]:
    """Session present, reason code and properties of a CONNACK (section 3.2)."""
    reader = Reader(data, at.body, at.end)
    flags, code = reader.byte(), reader.byte()
    return bool(flags & 1), code, read_properties(reader) if level == V5 and reader.more() else []


def write_connack(
    level: int, code: int, *, session_present: bool = False, properties: Iterable[Property] = ()
) -> bytes:
    """Write a CONNACK."""
    between = write_properties(properties) if level == V5 else b""
    return packet(CONNACK, 0, bytes([session_present, code]) + between)


def write_puback(packet_id: int, level: int, code: int = 0) -> bytes:
    """Write a PUBACK; only MQTT 5 can say why (section 3.4)."""
    return packet(PUBACK, 0, packet_id.to_bytes(2, "big") + (bytes([code]) if level == V5 and code else b""))


def write_disconnect(code: int) -> bytes:
    """Write the DISCONNECT of an MQTT 5 server (section 3.14)."""
    return packet(DISCONNECT, 0, bytes([code]))
