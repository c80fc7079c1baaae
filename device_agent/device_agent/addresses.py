"""The address check: the agent talks to addresses inside the VPC, over its first hop, and to nothing else.

AWS IoT's endpoint has the same name inside and outside the VPC. Without the tunnel, or with another resolver, that name
leads to a public address, and a connection would leave the private path. So every answer is checked before a client is
built, and the peer of the connection itself afterwards, since the SDK resolves the name a second time.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

from device_agent._exceptions import AddressError
from device_agent.hop import conflicts
from device_agent.installation import Installation
from device_agent.routes import describe_conflict
from device_agent.system import System
from device_agent.tcp import list_connections


def outside(addresses: list[str], network: IPv4Network) -> list[str]:
    """Pick the addresses that are not inside a network.

    Args:
        addresses: IPv4 and IPv6 addresses. Any IPv6 address counts as outside unless it is IPv4 in IPv6's clothes: AWS
            IoT's VPC endpoint has IPv4 addresses only.
        network: The VPC's CIDR block.

    Returns:
        Those outside, in their order.
    """
    return [address for address in addresses if _unmapped(address) not in network]


def resolve_inside(system: System, installation: Installation) -> list[str]:
    """Resolve the endpoint and refuse unless every single answer is inside the VPC and reached through the tunnel.

    Args:
        system: The machine whose resolver and routes are asked.
        installation: The endpoint and the VPC's CIDR block.

    Returns:
        The addresses, at least one.

    Raises:
        AddressError: The name does not resolve, an answer is outside the VPC, or its route is another network's.
    """
    hop = installation.hop
    try:
        addresses = system.resolve(installation.endpoint)
    except OSError as error:
        raise AddressError(
            f"{installation.endpoint} cannot be resolved ({error.strerror or error}); {hop.missing}"
            " `device-agent doctor` tells"
        ) from error
    foreign = outside(addresses, installation.vpc_cidr)
    if foreign or not addresses:
        raise AddressError(
            f"{installation.endpoint} resolves to {', '.join(foreign) or 'nothing'}, outside the VPC's"
            f" {installation.vpc_cidr}; nothing was sent; {hop.missing} `device-agent doctor` tells"
        )
    for address in addresses:
        route = system.find_route(IPv4Address(_unmapped(address)))
        if not hop.takes(route):
            found = conflicts(hop, system.list_routes(), installation.vpc_cidr)
            why = describe_conflict(found[0], installation.vpc_cidr) if found else hop.missing
            raise AddressError(
                f"{address} is reached through {route.interface if route else 'nothing'}, not through the {hop.kind};"
                f" nothing was sent; {why}; `device-agent doctor` tells"
            )
    return addresses


def refuse_foreign_peers(installation: Installation, port: int) -> list[str]:
    """Give the peers of this process's connections to the MQTT port, and refuse if there is none or one is foreign.

    Args:
        installation: The VPC's CIDR block.
        port: The MQTT port.

    Returns:
        The peers, at least one, all inside the VPC.

    Raises:
        AddressError: A peer is outside, or none can be seen.
    """
    found = list(dict.fromkeys(connection.peer for connection in list_connections(port)))
    foreign = outside(found, installation.vpc_cidr)
    if foreign or not found:
        raise AddressError(
            f"the connection to {installation.endpoint} went to {', '.join(foreign) or 'a peer that cannot be seen'},"
            f" outside the VPC's {installation.vpc_cidr}, and was dropped; {installation.hop.missing}"
            " `device-agent doctor` tells"
        )
    return found


def _unmapped(address: str) -> IPv4Address | IPv6Address:
    found = ip_address(address.partition("%")[0])
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
