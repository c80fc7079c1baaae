"""Which interface an address is reached through: without the tunnel, the VPC's addresses lead into the home network."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from device_agent.system import System

_UP = 1


@dataclass(frozen=True, slots=True)
class Route:
    """Where packets for an address go.

    Attributes:
        interface: The interface's name.
        tunnel: Whether it is a tun or tap device, or the loopback, which does not leave the device either.
    """

    interface: str
    tunnel: bool


def route_to(system: System, address: IPv4Address) -> Route | None:
    """Look an address up in the kernel's main routing table.

    Args:
        system: The machine, whose `/proc/net/route` (proc(5)) is read.
        address: The destination.

    Returns:
        The route with the longest prefix, then the lowest metric; None if there is none.
    """
    if address.is_loopback:
        return Route("lo", tunnel=True)
    try:
        lines = system.path("/proc/net/route").read_text("ascii").splitlines()[1:]
    except OSError:
        return None
    best: tuple[int, int, str] | None = None
    for line in lines:
        interface, destination, _gateway, flags, _count, _use, metric, mask = line.split()[:8]
        network = IPv4Network((_from_kernel(destination), str(IPv4Address(_from_kernel(mask)))))
        if int(flags, 16) & _UP and address in network:
            candidate = (network.prefixlen, -int(metric), interface)
            best = max(best, candidate) if best else candidate
    if best is None:
        return None
    return Route(best[2], system.path(f"/sys/class/net/{best[2]}/tun_flags").exists())


def local_address(destination: IPv4Address) -> str | None:
    """Ask the kernel which of the device's addresses it would send from; nothing is sent.

    Args:
        destination: Where to.

    Returns:
        The address, or None if there is no route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(destination), 53))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _from_kernel(text: str) -> int:
    """Decode a 32-bit address that the kernel prints in the machine's byte order."""
    return int.from_bytes(int(text, 16).to_bytes(4, sys.byteorder), "big")
