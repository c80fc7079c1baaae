"""Which addresses may be a device's gateways: a pure judgement on its routes."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from device_agent._exceptions import UsageError
from device_agent.routes import Route

MOST_GATEWAYS = 8


def read_gateways(texts: Sequence[str]) -> tuple[IPv4Address, ...]:
    """Read `--gateway`'s values.

    Raises:
        UsageError: One is no IPv4 address, stands there twice, or there are more than `MOST_GATEWAYS`.
    """
    found: list[IPv4Address] = []
    for text in texts:
        try:
            address = IPv4Address(text)
        except ValueError:
            raise UsageError(
                f"--gateway {text!a}: the gateway's IPv4 address in the LAN belongs there, such as 192.168.1.10"
            ) from None
        if address in found:
            raise UsageError(f"--gateway {address} stands there twice; each gateway once, the preferred one first")
        found.append(address)
    if len(found) > MOST_GATEWAYS:
        raise UsageError(f"--gateway is given {len(found)} times; {MOST_GATEWAYS} gateways at most")
    return tuple(found)


def on_link(address: IPv4Address, routes: Sequence[Route]) -> Route | None:
    """Find the route by which a link itself reaches an address; of several the most specific, then the preferred."""
    found = [
        route
        for route in routes
        if address in route.network and route.gateway is None and route.network.prefixlen and not route.tunnel
    ]
    return min(found, key=lambda route: (-route.network.prefixlen, route.metric), default=None)


def check_gateways(
    gateways: Sequence[IPv4Address], routes: Sequence[Route], vpc_cidr: IPv4Network, *, own: Sequence[IPv4Address]
) -> None:
    """Refuse gateways that this device cannot reach in its LAN.

    Args:
        gateways: The gateways.
        routes: The device's main routing table.
        vpc_cidr: The VPC's CIDR block.
        own: Those of the gateways' addresses that are this device's.

    Raises:
        UsageError: One is this device, outside its LAN, the LAN's own or broadcast address, or in the VPC's network.
    """
    for gateway in gateways:
        option = f"--gateway {gateway}"
        if gateway in own:
            raise UsageError(f"{option}: that is this device itself; name the device of the LAN that has the tunnel")
        if gateway in vpc_cidr:
            raise UsageError(f"{option} lies in the VPC, {vpc_cidr}; give the LAN or the VPC other addresses")
        route = on_link(gateway, routes)
        if route is None:
            lans = sorted({str(item.network) for item in routes if item.source and on_link(item.network[0], routes)})
            raise UsageError(
                f"{option} is in no network of this device ({', '.join(lans) or 'it has none'}); name an address of the"
                " LAN, or give this device one there (`ip -brief address`)"
            )
        ends = (route.network.network_address, route.network.broadcast_address)
        if route.network.prefixlen < 31 and gateway in ends:
            raise UsageError(f"{option} is no host of {route.network}, but its first or last address")
        if route.network.overlaps(vpc_cidr):
            raise UsageError(
                f"{option}: its network {route.network} shares addresses with the VPC, {vpc_cidr}; give the LAN or the"
                " VPC other addresses"
            )
