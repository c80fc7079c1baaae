"""The certificate that an OpenVPN server shows, read in a handshake that ends before anything is agreed.

OpenVPN carries TLS in packets of its own (doc/doxygen/doc_protocol_overview.h of OpenVPN 2.6): one byte of opcode and
key id, the sender's session id, the acknowledged packet ids with the peer's session id, the packet's own id, and a
piece of TLS. Client VPN uses no tls-auth, which would wrap them. The server keeps nothing of a handshake without a key
exchange but a slot that ends after `hand-window` (60 s).
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field

_RESET, _RESET_ANSWER, _CONTROL, _ACK = 7, 8, 4, 5
_PIECE = 1100
"""Bytes of TLS a packet, which any line carries."""
_AGAIN = 1.0
"""Seconds after which what was not acknowledged is sent again."""


class HandshakeError(Exception):
    """The server did not answer in OpenVPN's words, or TLS failed."""


@dataclass(slots=True)
class _Packets:
    """OpenVPN's reliable layer over one socket, as far as one handshake needs it."""

    connection: socket.socket
    stream: bool
    own: bytes = field(default_factory=lambda: os.urandom(8))
    peer: bytes = b""
    sent: int = 0
    unacknowledged: dict[int, bytes] = field(default_factory=dict)
    expected: int = 0
    early: dict[int, bytes] = field(default_factory=dict)
    buffer: bytes = b""

    def send(self, opcode: int, piece: bytes = b"") -> None:
        packet = struct.pack(">B8sBL", opcode << 3, self.own, 0, self.sent) + piece
        self.unacknowledged[self.sent] = packet
        self.sent += 1
        self._write(packet)

    def send_again(self) -> None:
        for packet in self.unacknowledged.values():
            self._write(packet)

    def receive(self) -> list[bytes]:
        """Take what has come, acknowledge it, and give the pieces that are next in order."""
        pieces = []
        for packet in self._read():
            opcode = packet[0] >> 3
            count = packet[9]
            if len(packet) < 10 + 4 * count + (8 if count else 0) + (0 if opcode == _ACK else 4):
                continue
            acknowledged = struct.unpack(f">{count}L", packet[10 : 10 + 4 * count])
            rest = packet[10 + 4 * count + (8 if count else 0) :]
            for number in acknowledged:
                self.unacknowledged.pop(number, None)
            if opcode == _ACK:
                continue
            if opcode not in (_RESET_ANSWER, _CONTROL):
                raise HandshakeError(f"the server sent an OpenVPN packet of kind {opcode}")
            self.peer = packet[1:9]
            number = struct.unpack(">L", rest[:4])[0]
            self._write(struct.pack(">B8sBL8s", _ACK << 3, self.own, 1, number, self.peer))
            self.early.setdefault(number, rest[4:])
        while self.expected in self.early:
            pieces.append(self.early.pop(self.expected))
            self.expected += 1
        return pieces

    def _write(self, packet: bytes) -> None:
        self.connection.sendall(struct.pack(">H", len(packet)) + packet if self.stream else packet)

    def _read(self) -> list[bytes]:
        data = self.connection.recv(65536)
        if not self.stream:
            return [data] if len(data) >= 10 else []
        if not data:
            raise HandshakeError("the server hung up")
        self.buffer += data
        packets = []
        while len(self.buffer) >= 2 and len(self.buffer) >= 2 + (size := struct.unpack(">H", self.buffer[:2])[0]):
            packets.append(self.buffer[2 : 2 + size])
            self.buffer = self.buffer[2 + size :]
        return [packet for packet in packets if len(packet) >= 10]


def server_certificate(connection: socket.socket, context: ssl.SSLContext, *, timeout: float) -> bytes:
    """Shake hands with an OpenVPN server and give the certificate that it showed.

    Args:
        connection: A socket that is connected to it, UDP or TCP.
        context: The client's; what it demands of the server's certificate counts.
        timeout: Seconds for all of it.

    Returns:
        The DER.

    Raises:
        HandshakeError: There was no proper answer.
        OSError: The connection failed, or TLS did (`ssl.SSLError`).
    """
    packets = _Packets(connection, stream=connection.type == socket.SOCK_STREAM)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    channel = context.wrap_bio(incoming, outgoing)
    until = time.monotonic() + timeout
    packets.send(_RESET)
    while time.monotonic() < until:
        connection.settimeout(min(_AGAIN, max(0.01, until - time.monotonic())))
        try:
            pieces = packets.receive()
        except TimeoutError:
            packets.send_again()
            continue
        for piece in pieces:
            incoming.write(piece)
        if packets.peer:
            try:
                channel.do_handshake()
            except ssl.SSLWantReadError:
                pass
            else:
                return channel.getpeercert(binary_form=True) or b""
            while outgoing.pending:
                packets.send(_CONTROL, outgoing.read(_PIECE))
    raise HandshakeError(f"no whole handshake within {timeout:g} s")
