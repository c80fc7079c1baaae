"""Addresses: the VPC, its subnets, the VPN's clients and the resolver. No Pulumi here."""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network

from private_iot.arguments import string_list
from private_iot.errors import ArgumentError

SMALLEST_SUBNET = 27
"""Prefix length of the smallest subnet to associate (Client VPN administrator guide, "Limitations and rules")."""
DNS_SERVER_LIMIT = 2
"""Servers that a Client VPN endpoint pushes (EC2 API reference, CreateClientVpnEndpoint, DnsServer)."""


def network(argument: str, value: object, remedy: str = "write it as 10.0.0.0/16") -> IPv4Network:
    """Return an IPv4 network; one with host bits is refused with the network that was meant."""
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
    """Return a VPC's network, a /16 to a /28 (Amazon VPC user guide, "VPC CIDR blocks")."""
    vpc = network(argument, value)
    if not 16 <= vpc.prefixlen <= 28:
        raise ArgumentError(
            argument, value, "a VPC is a /16 to a /28", f"write {vpc.network_address}/16 or a smaller network"
        )
    return vpc


def client_network(argument: str, value: object) -> IPv4Network:
    """Return the clients' network, a /12 to a /22 (Client VPN administrator guide, "Limitations and rules")."""
    clients = network(argument, value, "write it as 172.31.0.0/16")
    if not 12 <= clients.prefixlen <= 22:
        raise ArgumentError(
            argument,
            value,
            "the clients' network is a /12 to a /22",
            f"write {clients.supernet(new_prefix=22) if clients.prefixlen > 22 else f'{clients.network_address}/12'}",
        )
    return clients


def text_of(read: Callable[[str, object], IPv4Network]) -> Callable[[str, object], str]:
    """Make a reader of a network that returns its text."""
    return lambda argument, value: str(read(argument, value))


def networks(argument: str, values: object) -> list[str]:
    """Return a list of networks as texts."""
    return [str(network(argument, value)) for value in string_list(argument, values)]


def check_disjoint(argument: str, clients: IPv4Network, vpc: IPv4Network) -> None:
    """Refuse clients' addresses that are also the VPC's (Client VPN administrator guide, "Limitations and rules")."""
    if clients.overlaps(vpc):
        raise ArgumentError(
            argument, str(clients), f"it overlaps the VPC {vpc}", "choose a network that the VPC does not use"
        )


def check_outside(argument: str, block: str, vpc: IPv4Network) -> None:
    """Refuse a further network that is the VPC's: clients may reach that one, and its route comes by itself."""
    if IPv4Network(block).overlaps(vpc):
        raise ArgumentError(argument, block, f"it overlaps the VPC {vpc}, which clients may reach", "leave it out")


def dns_server(vpc: IPv4Network) -> str:
    """Return the VPC's resolver, the base of its network plus two (Amazon VPC user guide, "Amazon DNS server")."""
    return str(vpc.network_address + 2)


def dns_servers(argument: str, values: object) -> list[str]:
    """Return the addresses of the resolvers that a Client VPN endpoint pushes."""
    servers = string_list(argument, values)
    if not 1 <= len(servers) <= DNS_SERVER_LIMIT:
        raise ArgumentError(
            argument,
            servers,
            f"a Client VPN endpoint takes 1 to {DNS_SERVER_LIMIT} DNS servers",
            "leave it out for the VPC's own resolver",
        )
    for server in servers:
        try:
            IPv4Address(server)
        except ValueError:
            raise ArgumentError(argument, server, "it is no IPv4 address", "write it as 10.0.0.2") from None
    return servers


def check_dns_servers(argument: str, servers: Sequence[str], vpc: IPv4Network) -> None:
    """Refuse a resolver outside the VPC: a device sends nothing but the VPC's own traffic through the tunnel."""
    for server in servers:
        if IPv4Address(server) not in vpc:
            raise ArgumentError(
                argument,
                server,
                f"devices take a resolver inside the VPC {vpc} only",
                f"leave it out for {dns_server(vpc)}, which also follows the VPC's Resolver rules",
            )
