"""Which interface and which network a gateway may serve: a pure judgement on the device's routes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network

from device_agent._exceptions import UsageError
from device_agent.routes import TUNNEL_KINDS, Route

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,15}")
"""Of Linux's names (IFNAMSIZ is 16) those that need no quotes in nft(8) and dnsmasq(8)."""
MOST_PREFIX = 30
"""The longest prefix of a network with neighbours (RFC 3021: a /31 is a link between two)."""


def lan_networks(interface: str, routes: Sequence[Route]) -> list[IPv4Network]:
    """List the networks that an interface is in itself, by the routes that the kernel makes with its addresses."""
    return [
        route.network
        for route in routes
        if route.interface == interface
        and route.source is not None
        and route.gateway is None
        and 0 < route.network.prefixlen <= MOST_PREFIX
    ]


def is_uplink(interface: str, routes: Sequence[Route]) -> bool:
    """Tell whether the default route leads through an interface."""
    return any(route.interface == interface and not route.network.prefixlen for route in routes)


def choose_network(
    interface: str, allow: str | None, routes: Sequence[Route], vpc_cidr: IPv4Network, *, exists: bool
) -> IPv4Network:
    """Give the addresses that may use the gateway.

    Args:
        interface: The LAN's interface.
        allow: The CIDR block that is asked for; None for the whole network of the interface.
        routes: The device's main routing table.
        vpc_cidr: The VPC's CIDR block.
        exists: Whether there is such an interface.

    Raises:
        UsageError: The interface is none, the tunnel, the loopback or without neighbours; or the network is not the
            LAN's, or shares addresses with the VPC.
    """
    if not exists or not _NAME.fullmatch(interface):
        raise UsageError(f"--lan {interface!r}: there is no such network interface; `ip -brief link` lists them")
    own = [route for route in routes if route.interface == interface]
    if interface == "lo" or interface.startswith("tun") or any(route.kind in TUNNEL_KINDS for route in own):
        raise UsageError(f"--lan {interface}: that is the tunnel or the loopback; name the interface of the LAN")
    networks = lan_networks(interface, routes)
    if not networks:
        raise UsageError(f"--lan {interface}: it has no IPv4 network with neighbours; give it an address")
    if allow is None:
        if is_uplink(interface, routes):
            raise UsageError(
                f"--lan {interface}: it is the uplink alone; where the neighbours are in the same network, name them:"
                f" `--allow {networks[0]}` or a part of it"
            )
        chosen = networks[0]
    else:
        chosen = _allowed(interface, allow, networks)
    if chosen.overlaps(vpc_cidr):
        raise UsageError(f"--allow {chosen} shares addresses with the VPC, {vpc_cidr}; give the LAN other addresses")
    return chosen


def _allowed(interface: str, allow: str, networks: Sequence[IPv4Network]) -> IPv4Network:
    try:
        chosen = IPv4Network(allow)
    except ValueError as error:
        raise UsageError(f"--allow {allow!r}: {error}; a CIDR block such as {networks[0]} belongs there") from None
    if not any(chosen.subnet_of(network) for network in networks):
        raise UsageError(
            f"--allow {chosen} is not of the LAN's network; {interface} is in {', '.join(map(str, networks))}"
        )
    return chosen
