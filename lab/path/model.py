"""What the path needs to know of the cloud, as AWS's own words and nothing of how it is built.

Every object here is filled by `lab.path.read` from AWS's APIs and turned into a plan by `lab.path.plan`. Private keys
have no representation, so that a model that is printed shows none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Vpc:
    """A VPC: its CIDR blocks and its two DNS attributes (`DescribeVpcs`, `DescribeVpcAttribute`)."""

    vpc_id: str
    cidr_blocks: tuple[str, ...]
    dns_support: bool
    dns_hostnames: bool


@dataclass(frozen=True)
class Subnet:
    """A subnet and the route table that it uses, the VPC's main one by default."""

    subnet_id: str
    vpc_id: str
    cidr_block: str
    availability_zone: str
    route_table_id: str | None


@dataclass(frozen=True)
class RouteTable:
    """A route table: destination CIDR to target, such as ``local``, ``igw-…`` or ``nat-…``."""

    route_table_id: str
    vpc_id: str
    routes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SecurityGroupRule:
    """One rule of a security group.

    Attributes:
        protocol: ``tcp``, ``udp``, ``icmp``, a protocol number as text, or ``-1`` for every protocol.
        from_port: First port (ICMP: type); -1 for all.
        to_port: Last port (ICMP: code); -1 for all.
        cidr: Peer addresses, or None where a group is referenced.
        referenced_group_id: Peer group, or None where a CIDR is given.
    """

    egress: bool
    protocol: str
    from_port: int
    to_port: int
    cidr: str | None = None
    referenced_group_id: str | None = None


@dataclass(frozen=True)
class SecurityGroup:
    """A security group and its rules."""

    group_id: str
    name: str
    vpc_id: str
    rules: tuple[SecurityGroupRule, ...]


@dataclass(frozen=True)
class NetworkInterface:
    """A network interface inside a subnet and the groups that it carries."""

    network_interface_id: str
    vpc_id: str
    subnet_id: str
    address: str
    group_ids: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True)
class VpcEndpoint:
    """An interface endpoint (AWS PrivateLink).

    Attributes:
        dns_names: The regional name and one a zone, all of them public names with private addresses.
    """

    vpc_endpoint_id: str
    vpc_id: str
    service_name: str
    state: str
    dns_names: tuple[str, ...]
    network_interface_ids: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """A record set: either values or an alias to another name."""

    name: str
    type: str
    values: tuple[str, ...] = ()
    alias: str | None = None


@dataclass(frozen=True)
class PrivateHostedZone:
    """A private hosted zone: names without the trailing dot."""

    hosted_zone_id: str
    name: str
    vpc_ids: tuple[str, ...]
    records: tuple[Record, ...]


@dataclass(frozen=True)
class AcmCertificate:
    """An imported certificate with its key, which only AWS's data plane ever sees."""

    arn: str
    certificate: str
    chain: str
    private_key: str = field(repr=False)


@dataclass(frozen=True)
class Association:
    """A target network association of a Client VPN endpoint."""

    association_id: str
    vpc_id: str
    subnet_id: str
    status: str
    group_ids: tuple[str, ...]


@dataclass(frozen=True)
class AuthorizationRule:
    """An ingress authorization rule of a Client VPN endpoint."""

    destination_cidr: str
    access_all: bool
    status: str


@dataclass(frozen=True)
class ClientVpnRoute:
    """A route of a Client VPN endpoint's route table."""

    destination_cidr: str
    subnet_id: str
    status: str


@dataclass(frozen=True)
class ConnectionLog:
    """Where an endpoint writes its connection log."""

    log_group: str
    log_stream: str | None


@dataclass(frozen=True)
class ClientVpnEndpoint:
    """A Client VPN endpoint with all that hangs on it.

    Attributes:
        dns_name: The endpoint's name without the leading ``*.`` of `DescribeClientVpnEndpoints`.
        client_root_chain: PEM of the authorities that client certificates are verified against.
        revocation_list: PEM, or None where none was imported.
        connection_log: None where logging is off.
    """

    client_vpn_endpoint_id: str
    status: str
    dns_name: str
    client_cidr: str
    dns_servers: tuple[str, ...]
    split_tunnel: bool
    transport_protocol: str
    port: int
    server_certificate: AcmCertificate
    client_root_chain: str
    associations: tuple[Association, ...]
    authorization_rules: tuple[AuthorizationRule, ...]
    routes: tuple[ClientVpnRoute, ...]
    revocation_list: str | None
    connection_log: ConnectionLog | None


@dataclass(frozen=True)
class IotCertificate:
    """A certificate that is registered with AWS IoT, with what is attached to it."""

    certificate_id: str
    pem: str
    status: str
    policies: tuple[str, ...]
    things: tuple[str, ...]


@dataclass(frozen=True)
class Thing:
    """A thing of the registry, with what the policy variables of things read.

    Attributes:
        thing_type_name: None where it has no type.
    """

    name: str
    thing_type_name: str | None
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RoleAlias:
    """A role alias of AWS IoT and what the role behind it says.

    Attributes:
        duration: Seconds that its credentials are valid.
        max_session: The longest that the role allows, in seconds; None where there is no such role, or it does not
            trust the credential provider.
    """

    name: str
    duration: int
    max_session: int | None


@dataclass(frozen=True)
class Iot:
    """AWS IoT Core of the account and Region.

    Attributes:
        endpoint: Where devices connect.
        credentials_endpoint: Where they get credentials.
    """

    endpoint: str
    account_id: str
    things: tuple[Thing, ...]
    certificates: tuple[IotCertificate, ...]
    policies: tuple[tuple[str, Any], ...]
    credentials_endpoint: str = ""
    role_aliases: tuple[RoleAlias, ...] = ()


@dataclass(frozen=True)
class FirewallRule:
    """A rule of DNS Firewall.

    Attributes:
        vpc_id: The VPC whose queries pass it.
        action: ``ALLOW``, ``BLOCK`` or ``ALERT``.
        domains: Names without the final dot; ``*`` is every name, ``*.example.com`` every one below example.com.
    """

    vpc_id: str
    action: str
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Cloud:
    """Everything that the path is made from, of one account and Region."""

    region: str
    vpcs: tuple[Vpc, ...]
    subnets: tuple[Subnet, ...]
    route_tables: tuple[RouteTable, ...]
    security_groups: tuple[SecurityGroup, ...]
    network_interfaces: tuple[NetworkInterface, ...]
    vpc_endpoints: tuple[VpcEndpoint, ...]
    hosted_zones: tuple[PrivateHostedZone, ...]
    client_vpn_endpoints: tuple[ClientVpnEndpoint, ...]
    iot: Iot
    firewall_rules: tuple[FirewallRule, ...] = ()

    def subnet(self, subnet_id: str) -> Subnet:
        return next(subnet for subnet in self.subnets if subnet.subnet_id == subnet_id)

    def interfaces_of(self, endpoint: VpcEndpoint) -> Iterator[NetworkInterface]:
        """Yield the network interfaces of an interface endpoint, in the order in which AWS lists them."""
        by_id = {interface.network_interface_id: interface for interface in self.network_interfaces}
        for identifier in endpoint.network_interface_ids:
            if identifier in by_id:
                yield by_id[identifier]
