"""What a VPC endpoint consists of."""

import datetime
from dataclasses import dataclass, field
from typing import Any

from moto.ec2.utils import random_resource_id, random_vpc_ep_id

from lab.cloud.ec2.models.vpc_endpoint_services import endpoint_hosted_zone_id
from lab.cloud.ec2.progress import Progress


@dataclass(frozen=True)
class EndpointInterface:
    """A network interface of an endpoint, and the zone of its subnet."""

    id: str
    availability_zone: str


@dataclass
class VpcEndpoint:
    """An endpoint.

    Attributes:
        region: where it is.
        account_id: whose it is.
        vpc_id: the VPC.
        service_name: ``com.amazonaws.REGION.…``.
        vpc_endpoint_type: ``Interface`` or ``Gateway``.
        policy_document: JSON.
        security_group_ids: those of each network interface.
        private_dns_enabled: whether the VPC's resolver gives the service's own name the endpoint's addresses.
        base_dns_name: what the endpoint's names end with; empty for a gateway endpoint.
        private_dns_names: names of the service that private DNS serves.
        route_table_ids: of a gateway endpoint.
        prefix_list_id: of a gateway endpoint.
        id: ``vpce-…``.
        dns_label: the part of its names that AWS adds to the identifier.
        progress: pending, available, deleting.
        interfaces: subnet identifier to network interface.
    """

    region: str
    account_id: str
    vpc_id: str
    service_name: str
    vpc_endpoint_type: str
    policy_document: str
    security_group_ids: list[str] = field(default_factory=list)
    private_dns_enabled: bool = False
    base_dns_name: str = ""
    private_dns_names: list[str] = field(default_factory=list)
    route_table_ids: list[str] = field(default_factory=list)
    prefix_list_id: str | None = None
    id: str = field(default_factory=random_vpc_ep_id)
    dns_label: str = field(default_factory=lambda: random_resource_id(8))
    progress: Progress = field(default_factory=lambda: Progress("pending", "available"))
    interfaces: dict[str, EndpointInterface] = field(default_factory=dict)
    creation_timestamp: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))

    def dns_entries(self) -> list[dict[str, str]]:
        """Return the names of the endpoint, each with the hosted zone that holds it.

        The zonal names come first, on purpose: no page of AWS says that the regional one does, and a client that
        takes the first entry would name a single zone.
        """
        if not self.base_dns_name:
            return []
        zone_id = endpoint_hosted_zone_id(self.region)
        zones = sorted(interface.availability_zone for interface in self.interfaces.values())
        names = [f"{self.id}-{self.dns_label}-{zone}.{self.base_dns_name}" for zone in zones]
        names.append(f"{self.id}-{self.dns_label}.{self.base_dns_name}")
        entries = [{"DnsName": name, "HostedZoneId": zone_id} for name in names]
        if self.private_dns_enabled:
            entries += [
                {"DnsName": name, "HostedZoneId": f"Z{self.dns_label.upper()}"} for name in self.private_dns_names
            ]
        return entries

    def to_dict(self, state: str, group_names: dict[str, str], tags: list[dict[str, str]]) -> dict[str, Any]:
        """Return the item that DescribeVpcEndpoints gives.

        Args:
            state: what to show as the state.
            group_names: of the security groups that exist, by identifier.
            tags: the endpoint's.

        Returns:
            An item of VpcEndpoints.
        """
        return {
            "VpcEndpointId": self.id,
            "VpcEndpointType": self.vpc_endpoint_type,
            "VpcId": self.vpc_id,
            "ServiceName": self.service_name,
            "ServiceRegion": self.region,
            "State": state,
            "PolicyDocument": self.policy_document,
            "RouteTableIds": self.route_table_ids,
            "SubnetIds": list(self.interfaces),
            "Groups": [
                {"GroupId": group_id, "GroupName": group_names[group_id]}
                for group_id in self.security_group_ids
                if group_id in group_names
            ],
            "IpAddressType": "ipv4",
            "DnsOptions": {"DnsRecordIpType": "ipv4"},
            "PrivateDnsEnabled": self.private_dns_enabled,
            "RequesterManaged": False,
            "NetworkInterfaceIds": [interface.id for interface in self.interfaces.values()],
            "DnsEntries": self.dns_entries(),
            "CreationTimestamp": self.creation_timestamp,
            "Tags": tags,
            "OwnerId": self.account_id,
        }
