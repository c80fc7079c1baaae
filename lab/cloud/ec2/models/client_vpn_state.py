"""What a Client VPN endpoint consists of."""

import datetime
from dataclasses import dataclass, field
from typing import Any

from lab.cloud.ec2.progress import Progress

VPN_PROTOCOL = "openvpn"
TERMINATED_SHOWN_FOR = datetime.timedelta(minutes=60)
"""DescribeClientVpnConnections shows those "terminated within the last 60 minutes" too (EC2 API reference)."""


@dataclass
class TargetNetwork:
    """An association of a subnet.

    Attributes:
        association_id: ``cvpn-assoc-…``.
        subnet_id: the target network.
        vpc_id: the subnet's VPC.
        availability_zone: the subnet's zone.
        availability_zone_id: the same zone as AWS names it in every account.
        network_interface_id: the interface in the subnet that clients are translated to.
        progress: associating, associated, disassociating.
    """

    association_id: str
    subnet_id: str
    vpc_id: str
    availability_zone: str
    availability_zone_id: str
    network_interface_id: str
    progress: Progress = field(default_factory=lambda: Progress("associating", "associated"))


@dataclass
class AuthorizationRule:
    """Who may reach a network; ``group_id`` is empty where everybody may."""

    destination_cidr: str
    group_id: str
    description: str
    progress: Progress = field(default_factory=lambda: Progress("authorizing", "active"))


@dataclass
class Route:
    """Where traffic of clients goes.

    Attributes:
        destination_cidr: the network.
        target_subnet: an associated subnet, or ``local`` for other clients.
        origin: ``associate`` or ``add-route``.
        description: what the caller wrote, or AWS.
        association: the association that the route came with.
        progress: creating, active, deleting.
    """

    destination_cidr: str
    target_subnet: str
    origin: str
    description: str
    association: TargetNetwork | None = None
    progress: Progress = field(default_factory=lambda: Progress("creating", "active"))

    def observe(self) -> str:
        """Return the state and count it as seen; a route that came with an association is as far as that is."""
        if self.association is None:
            return self.progress.observe()
        return "creating" if self.association.progress.code == "associating" else "active"


@dataclass
class Connection:
    """A client's connection, as the data plane reported it."""

    connection_id: str
    common_name: str
    client_ip: str
    connection_established_time: str
    status: str = "active"
    ingress_bytes: int = 0
    egress_bytes: int = 0
    ingress_packets: int = 0
    egress_packets: int = 0
    reported_at: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    ended_at: datetime.datetime | None = None

    def to_dict(self, endpoint_id: str) -> dict[str, Any]:
        """Return the item that DescribeClientVpnConnections gives."""
        item = {
            "ClientVpnEndpointId": endpoint_id,
            "Timestamp": timestamp(self.reported_at),
            "ConnectionId": self.connection_id,
            # Mutual authentication has no user name.
            "Username": "N/A",
            "ConnectionEstablishedTime": self.connection_established_time,
            "IngressBytes": str(self.ingress_bytes),
            "EgressBytes": str(self.egress_bytes),
            "IngressPackets": str(self.ingress_packets),
            "EgressPackets": str(self.egress_packets),
            "ClientIp": self.client_ip,
            "CommonName": self.common_name,
            "Status": {"Code": self.status},
        }
        return item | ({"ConnectionEndTime": timestamp(self.ended_at)} if self.ended_at else {})


@dataclass
class ClientVpnEndpoint:
    """An endpoint with everything that belongs to it. Field names are those of CreateClientVpnEndpoint."""

    id: str
    region: str
    account_id: str
    dns_suffix: str
    client_cidr_block: str
    server_certificate_arn: str
    authentication_options: list[dict[str, Any]]
    connection_log_options: dict[str, Any]
    dns_servers: list[str]
    transport_protocol: str
    vpn_port: int
    description: str
    split_tunnel: bool
    vpc_id: str | None
    security_group_ids: list[str]
    self_service_portal: str
    client_connect_options: dict[str, Any]
    session_timeout_hours: int
    client_login_banner_options: dict[str, Any]
    client_route_enforcement_options: dict[str, Any]
    disconnect_on_session_timeout: bool
    creation_time: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    deletion: Progress | None = None
    target_networks: dict[str, TargetNetwork] = field(default_factory=dict)
    authorization_rules: list[AuthorizationRule] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    connections: dict[str, Connection] = field(default_factory=dict)
    certificate_revocation_list: str | None = None

    @property
    def arn(self) -> str:
        return f"arn:aws:ec2:{self.region}:{self.account_id}:client-vpn-endpoint/{self.id}"

    @property
    def dns_name(self) -> str:
        """The name that DescribeClientVpnEndpoints gives; clients put a random label in the place of the asterisk."""
        return f"*.{self.host_name}"

    @property
    def host_name(self) -> str:
        """The name that the exported profile has."""
        return f"{self.id}.{self.dns_suffix}"

    @property
    def certificate_arns(self) -> set[str]:
        """The ACM certificates in use."""
        roots = {
            option["MutualAuthentication"]["ClientRootCertificateChainArn"]
            for option in self.authentication_options
            if "MutualAuthentication" in option
        }
        return roots | {self.server_certificate_arn}

    @property
    def status(self) -> str:
        """The state now, without it being seen: available as soon as one association is."""
        if self.deletion is not None:
            return self.deletion.code
        return "available" if any(one.progress.code == "associated" for one in self.associated) else "pending-associate"

    def observe(self) -> str:
        """Return the state and count it as seen, and with it the associations that it depends on."""
        status = self.status
        for progress in [self.deletion] if self.deletion else [network.progress for network in self.associated]:
            progress.observe()
        return status

    @property
    def associated(self) -> list[TargetNetwork]:
        """The associations that are not on their way out."""
        return [network for network in self.target_networks.values() if not network.progress.ends]

    def to_dict(self, tags: list[dict[str, str]]) -> dict[str, Any]:
        """Return the item that DescribeClientVpnEndpoints gives, and count the state as seen."""
        connect = dict(self.client_connect_options)
        if connect.get("Enabled"):
            connect["Status"] = {"Code": "applied"}
        item = {
            "ClientVpnEndpointId": self.id,
            "Description": self.description,
            "Status": {"Code": self.observe()},
            "CreationTime": timestamp(self.creation_time, "T"),
            "DnsName": self.dns_name,
            "ClientCidrBlock": self.client_cidr_block,
            "DnsServers": self.dns_servers,
            "SplitTunnel": self.split_tunnel,
            "VpnProtocol": VPN_PROTOCOL,
            "TransportProtocol": self.transport_protocol,
            "VpnPort": self.vpn_port,
            "AssociatedTargetNetworks": [
                {"NetworkId": network.subnet_id, "NetworkType": "vpc"} for network in self.associated
            ],
            "ServerCertificateArn": self.server_certificate_arn,
            "AuthenticationOptions": [_authentication(option) for option in self.authentication_options],
            "ConnectionLogOptions": self.connection_log_options,
            "Tags": tags,
            "SecurityGroupIds": self.security_group_ids,
            "VpcId": self.vpc_id,
            "ClientConnectOptions": connect,
            "SessionTimeoutHours": self.session_timeout_hours,
            "ClientLoginBannerOptions": self.client_login_banner_options,
            "ClientRouteEnforcementOptions": self.client_route_enforcement_options,
            "DisconnectOnSessionTimeout": self.disconnect_on_session_timeout,
            "EndpointIpAddressType": "ipv4",
            "TrafficIpAddressType": "ipv4",
        }
        if self.self_service_portal == "enabled":
            item["SelfServicePortalUrl"] = f"https://self-service.clientvpn.amazonaws.com/endpoints/{self.id}"
        return item


def _authentication(option: dict[str, Any]) -> dict[str, Any]:
    """Rename what the answer names otherwise than the request."""
    answer: dict[str, Any] = {"Type": option["Type"]}
    if "MutualAuthentication" in option:
        arn = option["MutualAuthentication"]["ClientRootCertificateChainArn"]
        answer["MutualAuthentication"] = {"ClientRootCertificateChain": arn}
    if "ActiveDirectory" in option:
        answer["ActiveDirectory"] = option["ActiveDirectory"]
    if "FederatedAuthentication" in option:
        federated = option["FederatedAuthentication"]
        answer["FederatedAuthentication"] = {
            "SamlProviderArn": federated.get("SAMLProviderArn"),
            "SelfServiceSamlProviderArn": federated.get("SelfServiceSAMLProviderArn"),
        }
    return answer


def timestamp(moment: datetime.datetime, separator: str = " ") -> str:
    """Format a moment as Client VPN does, in UTC to the second."""
    return moment.astimezone(datetime.UTC).strftime(f"%Y-%m-%d{separator}%H:%M:%S")
