"""Which link an address is reached through, as the kernel decides it: rtnetlink(7), the one door to routes and links.

Without the tunnel, the VPC's addresses lead into the home network; and a home network whose own addresses lie in the
VPC's block keeps them from the tunnel even while it is up.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

TUNNEL_KINDS = frozenset({"tun", "ovpn", "ovpn-dco"})
"""Kinds of link (`ip -d link`) that OpenVPN makes: tun(4), and its data channel offload in the kernel since Linux 6.16
(`ovpn`) or as Debian's module openvpn-dco-dkms (`ovpn-dco`), which has no tun_flags in sysfs."""

OWN_PROTOCOL = 143
"""The mark of the routes that the agent has set (`proto`, ip-route(8)), which no routing program has."""
BACKSTOP_METRIC = 0xFFFFFFF0
"""So that any other route for the same network comes first."""

_GET_LINK, _GET_ROUTE = 18, 26
_NEW_ROUTE, _DELETE_ROUTE = 24, 25
_ERROR, _DONE = 2, 3
_REQUEST, _ACKNOWLEDGE, _DUMP, _REPLACE_OR_CREATE = 0x1, 0x4, 0x300, 0x500
_UNICAST, _LOCAL, _UNREACHABLE, _MAIN = 1, 2, 7, 254
_DESTINATION, _INTERFACE, _GATEWAY, _METRIC, _SOURCE = 1, 4, 5, 6, 7
_NAME, _LINK_INFO, _KIND = 3, 18, 1
_CHANGES = 0x1 | 0x10 | 0x40 | 0x80  # RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE of linux/rtnetlink.h


@dataclass(frozen=True, slots=True)
class Route:
    """Where packets go.

    Attributes:
        network: The destinations that the route is for; of `find_route` the one that was asked for.
        interface: The link's name.
        kind: The link's kind, such as `tun`, `veth` or `bridge`; empty for hardware and the loopback.
        source: The device's own address that packets carry, or None if the route names none.
        metric: The lower is preferred among routes for the same network.
        gateway: The next router's address, or None if the link itself reaches the destination.
        own: Whether the agent has set it.
    """

    network: IPv4Network
    interface: str
    kind: str = ""
    source: str | None = None
    metric: int = 0
    gateway: str | None = None
    own: bool = False

    @property
    def tunnel(self) -> bool:
        """Whether it is OpenVPN's, or the loopback, which does not leave the device either."""
        return self.kind in TUNNEL_KINDS or self.interface == "lo"


def find_route(address: IPv4Address) -> Route | None:
    """Ask the kernel for its decision on an address, all rules and tables considered; None if there is no way."""
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0)
    body += struct.pack("=HH", 8, _DESTINATION) + address.packed
    try:
        return next(filter(None, (_read_route(answer) for answer in _ask(_GET_ROUTE, body))), None)
    except OSError:
        return None


def list_routes() -> list[Route]:
    """List the main table's unicast routes; none if the kernel does not tell."""
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    try:
        return [
            route
            for answer in _ask(_GET_ROUTE, body, _DUMP)
            if answer[4] == _MAIN and answer[7] == _UNICAST and (route := _read_route(answer))
        ]
    except OSError:
        return []


def set_route(network: IPv4Network, gateway: IPv4Address, interface: str) -> None:
    """Have the kernel send what is for a network to a router that a link reaches, in place of the same route elsewhere.

    Raises:
        OSError: The kernel refuses, for instance since the link is down or does not reach the router.
    """
    index = socket.if_nametoindex(interface)
    _change(_NEW_ROUTE, network, _UNICAST, 0, {_GATEWAY: gateway.packed, _INTERFACE: struct.pack("=I", index)})


def set_backstop(network: IPv4Network) -> None:
    """Have the kernel refuse what is for a network and has no other route but the default one.

    Raises:
        OSError: The kernel refuses.
    """
    _change(_NEW_ROUTE, network, _UNREACHABLE, BACKSTOP_METRIC)


def remove_own_routes(keep: IPv4Network | None = None) -> None:
    """Take back what `set_route` and `set_backstop` have done.

    Args:
        keep: A network whose routes stay.

    Raises:
        OSError: The kernel refuses.
    """
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    for answer in list(_ask(_GET_ROUTE, body, _DUMP)):
        found = dict(_attributes(answer[12:]))
        network = IPv4Network((found.get(_DESTINATION, bytes(4)), answer[1]))
        if answer[4] == _MAIN and answer[5] == OWN_PROTOCOL and network != keep:
            metric = struct.unpack("=I", found[_METRIC])[0] if _METRIC in found else 0
            with suppress(ProcessLookupError):
                _change(_DELETE_ROUTE, network, answer[7], metric)


def _change(
    request: int, network: IPv4Network, kind: int, metric: int, more: Mapping[int, bytes] | None = None
) -> None:
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, network.prefixlen, 0, 0, _MAIN, OWN_PROTOCOL, 0, kind, 0)
    attributes = {_DESTINATION: network.network_address.packed, _METRIC: struct.pack("=I", metric), **(more or {})}
    for name, value in attributes.items():
        body += struct.pack("=HH", 4 + len(value), name) + value
    flags = _ACKNOWLEDGE | (_REPLACE_OR_CREATE if request == _NEW_ROUTE else 0)
    for _answer in _ask(request, body, flags):
        pass


class RouteChanges:
    """Tells whether links, addresses, routes or rules may have changed since it was last asked."""

    def __init__(self) -> None:
        """Begin to listen to the kernel; where that cannot be had, everything may have changed at any time."""
        self._socket: socket.socket | None = None
        with suppress(OSError):
            made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
            made.bind((0, _CHANGES))
            self._socket = made

    def happened(self) -> bool:
        """Tell it, and begin anew."""
        if self._socket is None:
            return True
        changed = False
        try:
            # What changed is not read: the rest of each message is dropped.
            while self._socket.recv(1):
                changed = True
        except BlockingIOError:
            return changed
        except OSError:
            # More came than the kernel keeps (ENOBUFS).
            pass
        return True

    def fileno(self) -> int:
        """Give the socket's number, which is readable when something has changed; -1 where there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Listen no longer."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def overlapping(routes: Iterable[Route], network: IPv4Network) -> list[Route]:
    """Pick the routes of other networks that share addresses with a network, which is thereby out of a tunnel's reach.

    Args:
        routes: The device's routes.
        network: The VPC's CIDR block.

    Returns:
        Those that neither lead through a tunnel nor are for everything, the most specific first.
    """
    found = [
        route for route in routes if not route.tunnel and route.network.prefixlen and route.network.overlaps(network)
    ]
    return sorted(found, key=lambda route: -route.network.prefixlen)


def describe_conflict(route: Route, network: IPv4Network) -> str:
    """Say what `overlapping` means: the finding of install, daemon and doctor."""
    return f"a route of another network covers the VPC: {route.network} through {route.interface} lies in {network}"


def _read_route(answer: bytes) -> Route | None:
    prefix, kind = answer[1], answer[7]
    found = dict(_attributes(answer[12:]))
    if kind not in (_UNICAST, _LOCAL) or _INTERFACE not in found:
        return None
    index = struct.unpack("=I", found[_INTERFACE])[0]
    name, link_kind = _read_link(index)
    return Route(
        network=IPv4Network((found.get(_DESTINATION, bytes(4)), prefix)),
        interface=name,
        kind=link_kind,
        source=str(IPv4Address(found[_SOURCE])) if _SOURCE in found else None,
        metric=struct.unpack("=I", found[_METRIC])[0] if _METRIC in found else 0,
        gateway=str(IPv4Address(found[_GATEWAY])) if _GATEWAY in found else None,
        own=answer[5] == OWN_PROTOCOL,
    )


def _read_link(index: int) -> tuple[str, str]:
    """Give a link's name and kind."""
    body = struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, index, 0, 0)
    return next(parse_link(answer) for answer in _ask(_GET_LINK, body))


def parse_link(answer: bytes) -> tuple[str, str]:
    """Read RTM_NEWLINK's body: the link's name, and its kind if it has one."""
    found = dict(_attributes(answer[16:]))
    info = dict(_attributes(found.get(_LINK_INFO, b"")))
    return _ascii(found[_NAME]), _ascii(info.get(_KIND, b""))


def _ascii(value: bytes) -> str:
    return value.rstrip(b"\0").decode("ascii", "replace")


def _ask(request: int, body: bytes, flags: int = 0) -> Iterator[bytes]:
    """Send one request and give the bodies of what answers it.

    Raises:
        OSError: The kernel refuses, for instance since the network is unreachable.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(2)
        kernel.send(struct.pack("=IHHII", 16 + len(body), request, _REQUEST | flags, 1, 0) + body)
        while True:
            data = kernel.recv(1 << 18)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", data, 16)[0]
                    if not code:
                        return
                    raise OSError(code, os.strerror(code))
                yield data[16:length]
                data = data[(length + 3) & ~3 :]
            if not flags & _DUMP:
                return


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]
