"""This process's own connections, tied and measured, on loopback. Their end is shown by the path tier."""

from __future__ import annotations

import contextlib
import socket

import pytest
from device_agent.tcp import bind_connections, bind_to, list_connections

from device_agent import tcp


def interface_of(tied: socket.socket) -> bytes:
    return tied.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0")


def test_every_tcp_connection_of_the_process_is_tied_and_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    # Loopback stands for the way to AWS IoT here.
    monkeypatch.setattr(tcp, "_is_local", lambda _connection: False)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as far,
    ):
        assert bind_connections("lo") >= 2
        assert bind_connections("lo") >= 2, "a second time is refused without privileges, and not needed"
        assert interface_of(client) == b"lo"
        assert interface_of(other) == b"", "a datagram socket was taken for a connection"
        client.sendall(b"through")
        assert far.recv(10) == b"through"


def test_a_connection_to_the_device_itself_is_left_alone() -> None:
    """That of a local MQTT broker does not end with the tunnel."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as far,
    ):
        bind_connections("lo")
        assert interface_of(client) == interface_of(far) == b""


def test_a_connection_that_is_being_made_is_tied_too() -> None:
    with socket.socket() as connecting:
        connecting.setblocking(False)
        # TEST-NET-1 (RFC 5737) answers nothing.
        connecting.connect_ex(("192.0.2.1", 9))
        bind_connections("lo")
        assert interface_of(connecting) == b"lo"


def test_an_interface_that_is_not_there_is_an_error() -> None:
    with socket.socket() as tied, pytest.raises(OSError, match="No such device"):
        bind_to(tied, "tun99")


def test_what_waits_and_what_comes_is_measured() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as far,
    ):
        port = server.getsockname()[1]
        (before,) = list_connections(port)
        assert before.peer == "127.0.0.1"
        client.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += client.send(bytes(65536))
        (full,) = list_connections(port)
        assert 0 < full.waiting < sent
        assert full.bytes_acked > before.bytes_acked
        assert full.segments_in > before.segments_in
        assert 0 < full.round_trip < 60
        far.sendall(b"answer")
        (answered,) = list_connections(port)
        assert answered.bytes_received == before.bytes_received + len(b"answer")


def test_a_connection_that_is_not_made_yet_is_not_listed() -> None:
    with socket.socket() as connecting:
        connecting.setblocking(False)
        connecting.connect_ex(("192.0.2.1", 9))
        assert list_connections(9) == []
