"""Addresses: the VPC, its subnets, the VPN's clients and the resolver. No Pulumi here."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from private_iot.errors import ArgumentError

SMALLEST_SUBNET = 27
"""Prefix length of the smallest subnet to associate (Client VPN administrator guide, "Limitations and rules")."""
DNS_SERVER_LIMIT = 2
"""Servers that a Client VPN endpoint pushes (EC2 API reference, CreateClientVpnEndpoint, DnsServer)."""


def _network(argument: str, value: object, remedy: str) -> IPv4Network:
    try:
        if not isinstance(value, str) or "/" not in value:
            raise ValueError
        return IPv4Network(value)
    except ValueError:
        pass
    try:
        exact = IPv4Network(str(value), strict=False) if "/" in str(value) else None
    except ValueError:
        exact = None
    if exact is not None:
        raise ArgumentError(argument, value, "it is no network address, host bits are set", f"write {exact}")
    raise ArgumentError(argument, value, "it must be an IPv4 network in CIDR notation", remedy)


def vpc_network(argument: str, value: object) -> IPv4Network:
    """Return the VPC's network.

    Args:
        argument: The argument's name.
        value: CIDR notation, /16 to /28 (Amazon VPC user guide, "VPC CIDR blocks").

    Returns:
        The network.

    Raises:
        ArgumentError: It is no network, or of a size that AWS does not take.
    """
    network = _network(argument, value, "write it as 10.0.0.0/16")
    if not 16 <= network.prefixlen <= 28:
        raise ArgumentError(
            argument, value, "a VPC is a /16 to a /28", f"write {network.network_address}/16 or a smaller network"
        )
    return network


def dns_server(vpc: IPv4Network) -> str:
    """Return the address of the VPC's resolver: the base of its CIDR plus two.

    Args:
        vpc: The VPC's network.

    Returns:
        The address (Amazon VPC user guide, "Amazon DNS server").
    """
    return str(vpc.network_address + 2)


def plan_subnets(argument: str, vpc: IPv4Network, count: int) -> tuple[IPv4Network, ...]:
    """Compute one subnet a zone.

    The VPC is cut into equal blocks whose size depends on the VPC alone, so that a further zone never moves a subnet
    that exists: /24 for a VPC of /16 to /22, a quarter of the VPC below that, at least a /27. The first block is used
    last, so that the first subnet of 10.0.0.0/16 is 10.0.1.0/24.

    Args:
        argument: The name of the argument that decides how many there are.
        vpc: The VPC's network.
        count: Number of subnets, at least 1.

    Returns:
        The subnets in order.

    Raises:
        ArgumentError: So many do not fit.
    """
    length = min(max(vpc.prefixlen + 2, 24), SMALLEST_SUBNET)
    room = 2 ** (length - vpc.prefixlen) if length >= vpc.prefixlen else 0
    if count < 1:
        raise ArgumentError(argument, count, "a network needs at least 1 zone", "ask for 1 or more")
    if count > room:
        remedy = f"ask for at most {room} or choose a larger VPC" if room else "choose a VPC of /27 or larger"
        raise ArgumentError(argument, count, f"{room} subnets of /{length} fit into {vpc}", remedy)
    size = 2 ** (32 - length)
    return tuple(IPv4Network((int(vpc.network_address) + (index + 1) % room * size, length)) for index in range(count))


def given_subnets(argument: str, vpc: IPv4Network, values: Sequence[str]) -> tuple[IPv4Network, ...]:
    """Return the subnets that the program chose itself.

    Args:
        argument: The argument's name.
        vpc: The VPC's network.
        values: One CIDR a zone.

    Returns:
        The subnets in the order given.

    Raises:
        ArgumentError: One is no network, outside the VPC, smaller than /27, or overlaps another.
    """
    subnets: list[IPv4Network] = []
    for value in values:
        subnet = _network(argument, value, "write it as 10.0.1.0/24")
        if not subnet.subnet_of(vpc):
            raise ArgumentError(argument, value, f"it lies outside the VPC {vpc}", f"choose a part of {vpc}")
        if subnet.prefixlen > SMALLEST_SUBNET:
            raise ArgumentError(
                argument, value, f"Client VPN associates subnets of /{SMALLEST_SUBNET} or larger", "choose a larger one"
            )
        for other in subnets:
            if subnet.overlaps(other):
                raise ArgumentError(argument, value, f"it overlaps {other}", "choose subnets that are disjoint")
        subnets.append(subnet)
    return tuple(subnets)


def client_network(argument: str, value: object) -> IPv4Network:
    """Return the network that VPN clients get their addresses from.

    Args:
        argument: The argument's name.
        value: CIDR notation, /12 to /22 (Client VPN administrator guide, "Limitations and rules").

    Returns:
        The network.

    Raises:
        ArgumentError: It is no network, or of a size that AWS does not take.
    """
    network = _network(argument, value, "write it as 172.31.0.0/16")
    if not 12 <= network.prefixlen <= 22:
        raise ArgumentError(
            argument,
            value,
            "the clients' network is a /12 to a /22",
            f"write {network.supernet(new_prefix=22) if network.prefixlen > 22 else f'{network.network_address}/12'}",
        )
    return network


def check_disjoint(argument: str, clients: IPv4Network, vpc: IPv4Network) -> None:
    """Refuse clients' addresses that are also the VPC's.

    Args:
        argument: The name of the argument that holds the clients' network.
        clients: The clients' network.
        vpc: The VPC's network.

    Raises:
        ArgumentError: The two overlap (Client VPN administrator guide, "Limitations and rules").
    """
    if clients.overlaps(vpc):
        raise ArgumentError(
            argument, str(clients), f"it overlaps the VPC {vpc}", "choose a network that the VPC does not use"
        )


def dns_servers(argument: str, values: Sequence[str]) -> tuple[str, ...]:
    """Return the DNS servers that the endpoint pushes to its clients.

    Args:
        argument: The argument's name.
        values: One or two IPv4 addresses. With none the device keeps its own and never sees the private zone.

    Returns:
        The addresses.

    Raises:
        ArgumentError: There are none or too many, or one is no IPv4 address.
    """
    if not 1 <= len(values) <= DNS_SERVER_LIMIT:
        raise ArgumentError(
            argument,
            list(values),
            f"a Client VPN endpoint takes 1 to {DNS_SERVER_LIMIT} DNS servers",
            "leave it out for the VPC's own resolver",
        )
    for value in values:
        try:
            IPv4Address(value)
        except ValueError:
            raise ArgumentError(argument, value, "it is no IPv4 address", "write it as 10.0.0.2") from None
    return tuple(values)
