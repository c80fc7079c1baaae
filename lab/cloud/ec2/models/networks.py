"""VPCs, subnets and route tables where moto's differ from AWS: sizes, blocks, zones, and dependencies."""

import ipaddress
from typing import Any

from moto.ec2.exceptions import InvalidCIDRBlockParameterError, InvalidSubnetIdError, InvalidSubnetRangeError
from moto.ec2.models.route_tables import RouteTable
from moto.ec2.models.subnets import Subnet
from moto.ec2.models.vpcs import VPC

from lab.cloud.ec2.exceptions import (
    DependencyViolationError,
    InvalidParameterValueError,
    ResourceAlreadyAssociatedError,
    SubnetNotFoundError,
)
from lab.cloud.ec2.models.security_groups import SecurityGroupBackend
from lab.cloud.ec2.models.vpc_endpoints import VpcEndpointBackend

LARGEST = 16
SMALLEST = 28
"""Prefix lengths of a VPC's and a subnet's block (VPC user guide, "VPC CIDR blocks" and "Subnet CIDR blocks")."""


def canonical(cidr: str) -> str:
    """Clear the bits outside the prefix: AWS makes 100.68.0.0/18 of 100.68.0.18/18 (EC2 API reference, CreateVpc).

    Raises:
        InvalidCIDRBlockParameterError: it is no IPv4 block.
    """
    try:
        return str(ipaddress.IPv4Network(cidr, strict=False))
    except ValueError as error:
        raise InvalidCIDRBlockParameterError(cidr) from error


class NetworkBackend(VpcEndpointBackend, SecurityGroupBackend):
    """A part of the EC2 backend."""

    def create_vpc(self, cidr_block: str, *arguments: Any, **keywords: Any) -> VPC:
        """Create a VPC; moto checks the size of its block."""
        return super().create_vpc(canonical(cidr_block), *arguments, **keywords)

    def delete_vpc(self, vpc_id: str) -> VPC:
        """Delete a VPC that nothing depends on, with what AWS made along with it.

        Raises:
            DependencyViolationError: subnets, security groups, route tables, endpoints or gateways are left.
        """
        vpc = self.get_vpc(vpc_id)
        gateways: Any = self.internet_gateways.values()
        attached = [
            gateway
            for gateway in self.describe_vpn_gateways(filters={"attachment.vpc-id": [vpc_id]})
            if gateway.attachments[vpc_id].state == "attached"
        ]
        groups = list(self.groups[vpc_id].values())
        tables = [table for table in self.route_tables.values() if table.vpc_id == vpc_id]
        acls = [acl for acl in self.network_acls.values() if acl.vpc_id == vpc_id]
        dependencies = [
            self.describe_subnets(filters={"vpc-id": [vpc_id]}),
            [endpoint for endpoint in self.live_endpoints() if endpoint.vpc_id == vpc_id],
            [gateway for gateway in gateways if gateway.vpc and gateway.vpc.id == vpc_id],
            attached,
            [group for group in groups if not group.is_default],
            [table for table in tables if table.main_association_id is None],
            [acl for acl in acls if not acl.default],
        ]
        if any(dependencies):
            raise DependencyViolationError(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
        for group in groups:
            self.forget_security_group(group)
        del self.groups[vpc_id]
        for table in tables:
            self._forget(self.route_tables, table.id)
        for acl in acls:
            self._forget(self.network_acls, acl.id)
        self._forget(self.vpcs, vpc_id)
        return vpc

    def create_subnet(  # noqa: PLR0917 - moto's signature
        self,
        vpc_id: str,
        cidr_block: str,
        ipv6_cidr_block: str | None = None,
        availability_zone: str | None = None,
        availability_zone_id: str | None = None,
        ipv6_native: bool = False,
        tags: dict[str, dict[str, str]] | None = None,
    ) -> Subnet:
        """Create a subnet of a valid size in a zone of the Region."""
        if cidr_block:
            cidr_block = canonical(cidr_block)
            if not LARGEST <= ipaddress.IPv4Network(cidr_block).prefixlen <= SMALLEST:
                raise InvalidSubnetRangeError(cidr_block)
        zone = self._zone(availability_zone, availability_zone_id)
        return super().create_subnet(vpc_id, cidr_block, ipv6_cidr_block, zone, None, ipv6_native, tags)

    def _zone(self, name: str | None, zone_id: str | None) -> str:
        zones = self.describe_availability_zones()
        for zone in zones:
            if zone.name == name or (name is None and zone_id in (None, zone.zone_id)):
                return str(zone.name)
        names = ", ".join(zone.name for zone in zones)
        raise InvalidParameterValueError(
            f"Value ({name or zone_id}) for parameter availabilityZone is invalid. Subnets can currently only "
            f"be created in "
            f"the following availability zones: {names}."
        )

    def describe_subnets(self, subnet_ids: list[str] | None = None, filters: Any = None) -> list[Subnet]:
        """Return the subnets; one that is asked for by id and does not exist is named in the error."""
        known = {subnet_id for subnets in self.subnets.values() for subnet_id in subnets}
        for subnet_id in subnet_ids or []:
            if subnet_id not in known:
                raise InvalidSubnetIdError(subnet_id)
        return super().describe_subnets(subnet_ids, filters)

    def delete_subnet(self, subnet_id: str) -> Subnet:
        """Delete a subnet without network interfaces; its associations with a route table and an ACL go with it."""
        subnet = self.get_subnet(subnet_id)
        if any(interface.subnet.id == subnet_id for interface in self.enis.values()):
            raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        for table in self.route_tables.values():
            table._associations = {key: target for key, target in table._associations.items() if target != subnet_id}
        for acl in self.network_acls.values():
            acl._associations = {key: one for key, one in acl._associations.items() if one.subnet_id != subnet_id}
        self.tags.pop(subnet_id, None)
        super().delete_subnet(subnet_id)
        return subnet

    def associate_route_table(
        self, route_table_id: str, gateway_id: str | None = None, subnet_id: str | None = None
    ) -> str:
        """Associate a subnet or a gateway with a route table of its VPC.

        Raises:
            ResourceAlreadyAssociatedError: the subnet has another route table.
            InvalidParameterValueError: the subnet is of another VPC.
        """
        table = self.get_route_table(route_table_id)
        if subnet_id is not None:
            subnet = self.get_subnet(subnet_id)
            if subnet.vpc_id != table.vpc_id:
                raise InvalidParameterValueError(
                    f"Route table {route_table_id} and subnet {subnet_id} belong to different networks"
                )
            for other in self.route_tables.values():
                if other.id != route_table_id and subnet_id in other._associations.values():
                    raise ResourceAlreadyAssociatedError(route_table_id)
        return super().associate_route_table(route_table_id, gateway_id, subnet_id)

    def delete_route_table(self, route_table_id: str) -> None:
        """Delete a route table that is neither associated nor its VPC's main one."""
        table: RouteTable = self.get_route_table(route_table_id)
        if table.main_association_id is not None:
            raise DependencyViolationError(f"The routeTable '{route_table_id}' has dependencies and cannot be deleted.")
        super().delete_route_table(route_table_id)
        self.tags.pop(route_table_id, None)

    def get_subnet(self, subnet_id: str) -> Subnet:
        """Return a subnet.

        Raises:
            SubnetNotFoundError: there is none with this id.
        """
        for subnets in self.subnets.values():
            if subnet_id in subnets:
                return subnets[subnet_id]
        raise SubnetNotFoundError(subnet_id)

    def _forget(self, resources: dict[str, Any], resource_id: str) -> None:
        del resources[resource_id]
        self.tags.pop(resource_id, None)
