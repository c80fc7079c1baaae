"""This process's own TCP connections as the kernel sees them; the SDK tells nothing of its sockets.

They are tied to the tunnel's interface, so that they die with it: when OpenVPN ends it removes its routes before its
interface, and for that moment the kernel would send what is on its way to the VPC into the home network. Since Linux
5.7 a process may do so without privileges, once for each socket (socket(7), SO_BINDTODEVICE).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fcntl import ioctl
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from termios import TIOCOUTQ

_NAME_SIZE = 16
_ESTABLISHED = 1
# struct tcp_info of linux/tcp.h up to tcpi_segs_in, which is there since Linux 4.2
_INFO = struct.Struct("=8B24I4Q2I")
_ROUND_TRIP, _VARIATION = 8 + 15, 8 + 16
_BYTES_ACKED, _BYTES_RECEIVED, _SEGMENTS_IN = 8 + 24 + 2, 8 + 24 + 3, 8 + 24 + 4 + 1


@dataclass(frozen=True, slots=True)
class TcpConnection:
    """An established connection.

    Attributes:
        peer: The remote address.
        segments_in: How many TCP segments have come, mere acknowledgements among them.
        bytes_received: How many bytes of data have come.
        bytes_acked: How many bytes the peer's kernel has acknowledged.
        waiting: How many bytes it has not, whether they were sent or not (SIOCOUTQ, tcp(7)).
        round_trip: Seconds within which an acknowledgement is due: the smoothed round trip and four times its variation
            (RFC 6298, section 2), without the backoff of a connection that is silent.
    """

    peer: str
    segments_in: int = 0
    bytes_received: int = 0
    bytes_acked: int = 0
    waiting: int = 0
    round_trip: float = 0.0


def bind_to(tied: socket.socket, interface: str) -> None:
    """Let a socket send and receive through one interface only; harmless if it is bound to it already.

    Raises:
        OSError: There is no such interface, the socket is bound to another, or the kernel is older than 5.7.
    """
    present = tied.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _NAME_SIZE).rstrip(b"\0")
    if present != interface.encode():
        tied.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")


def bind_connections(interface: str) -> int:
    """Tie every TCP connection of this process that leaves the device to an interface, and give their number.

    The agent has no other such connection than the one to AWS IoT.

    Raises:
        OSError: As for `bind_to`.
    """
    count = 0
    for found in _own_sockets():
        if not _is_local(found):
            bind_to(found, interface)
            count += 1
    return count


def list_connections(port: int) -> list[TcpConnection]:
    """List this process's established connections to a remote port."""
    connections = []
    for found in _own_sockets():
        try:
            address, remote_port = found.getpeername()[:2]
            info = _INFO.unpack(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
            waiting = struct.unpack("=i", ioctl(found, TIOCOUTQ, bytes(4)))[0]
        except OSError:
            continue  # not connected yet, or no longer
        if remote_port == port and info[0] == _ESTABLISHED:
            connections.append(
                TcpConnection(
                    peer=_unmapped(address),
                    segments_in=info[_SEGMENTS_IN],
                    bytes_received=info[_BYTES_RECEIVED],
                    bytes_acked=info[_BYTES_ACKED],
                    waiting=waiting,
                    round_trip=(info[_ROUND_TRIP] + 4 * info[_VARIATION]) / 1e6,
                )
            )
    return connections


def _is_local(connection: socket.socket) -> bool:
    """Tell whether a socket is connected to this device itself, as that of a local MQTT broker is."""
    try:
        return ip_address(_unmapped(connection.getpeername()[0])).is_loopback
    except OSError:
        return False


def _own_sockets() -> Iterator[socket.socket]:
    """Give a copy of each TCP socket: the SDK's threads may close theirs at any time."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if not str(entry.readlink()).startswith("socket:"):
                continue
            descriptor = os.dup(int(entry.name))
        except OSError:
            continue
        with socket.socket(fileno=descriptor) as found:
            if found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM:
                yield found


def _unmapped(address: str) -> str:
    found = ip_address(address.partition("%")[0])
    return str((found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found)
