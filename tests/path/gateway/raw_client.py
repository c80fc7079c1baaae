"""A client that writes MQTT packets byte by byte over real TLS, for what no well-behaved client would send."""

import contextlib
import socket
import ssl
from types import TracebackType
from typing import Self

from lab.path.gateway import packets
from lab.path.gateway.packets import Connect, Frame
from tests.path.gateway.authority import Credential
from tests.path.gateway.stack import DEADLINE, ENDPOINT, PORT, Stack


class RawClient:
    """One TLS connection.

    Args:
        stack: the gateway to reach.
        address: one of its two addresses.
        credential: the client certificate, None to send none.
    """

    def __init__(
        self,
        stack: Stack,
        address: str,
        credential: Credential | None,
        *,
        port: int = PORT,
        server_name: str | None = ENDPOINT,
        alpn: tuple[str, ...] = (),
        version: ssl.TLSVersion | None = None,
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(stack.authority.root_file)
        context.check_hostname = False
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if version is not None:
            context.maximum_version = context.minimum_version = version
        if credential is not None:
            context.load_cert_chain(credential.certificate_file, credential.private_key_file)
        self._socket = socket.create_connection((address, port), DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.tls = context.wrap_socket(self._socket, server_hostname=server_name)
        except BaseException:
            self._socket.close()
            raise
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Go without a word."""
        self.tls.close()

    def send(self, raw: bytes) -> None:
        """Write bytes."""
        self.tls.sendall(raw)

    def receive(self) -> tuple[Frame, bytes] | None:
        """The next packet, None when the server has closed the connection."""
        while True:
            at = packets.frame(self._held, 0)
            if at is not None and at.end <= len(self._held):
                raw, self._held = self._held[: at.end], self._held[at.end :]
                return at, raw
            data = self.tls.recv(65536)
            if not data:
                assert not self._held, "the connection ended inside a packet"
                return None
            self._held += data

    def expect(self, kind: int) -> bytes:
        """The next packet, which has to be of a kind."""
        found = self.receive()
        assert found is not None, f"closed instead of packet type {kind}"
        assert found[0].kind == kind, f"packet type {found[0].kind} instead of {kind}: {found[1]!r}"
        return found[1]

    def closed(self) -> bool:
        """Whether the server closes the connection without another packet."""
        return self.receive() is None

    def open(self, connect: Connect) -> tuple[bool, int, dict[int, object]]:
        """CONNECT, and what the CONNACK says: session present, code, properties."""
        self.send(packets.write_connect(connect))
        raw = self.expect(packets.CONNACK)
        at = packets.frame(raw, 0)
        assert at is not None
        present, code, properties = packets.read_connack(raw, at, connect.level)
        return present, code, dict(properties)

    def wait_until_closed(self) -> None:
        """Read until the server closes the connection."""
        with contextlib.suppress(ConnectionError):
            while self.receive() is not None:
                pass


def publish(
    topic: str,
    payload: bytes = b"x",
    *,
    level: int,
    packet_id: int = 1,
    flags: int | None = None,
    alias: int | None = None,
) -> bytes:
    """A PUBLISH; QoS 1 with a packet identifier, QoS 0 with 0."""
    body = packets.binary(topic.encode()) + (packet_id.to_bytes(2, "big") if packet_id else b"")
    if level == packets.V5:
        body += packets.write_properties([] if alias is None else [(packets.TOPIC_ALIAS, alias)])
    return packets.packet(packets.PUBLISH, flags if flags is not None else 2 if packet_id else 0, body + payload)
