"""The VPC that devices reach AWS IoT through: no way in and no way out but the ones that are named here."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from private_iot import cidr, endpoint_service, existing_vpc, flow_log, subnets
from private_iot.arguments import (
    LOG_RETENTION_DAYS,
    Setting,
    boolean,
    checked_arguments,
    string_list,
    string_map,
    whole_number,
)
from private_iot.deployed import SECURITY_GROUP, SUBNET, VPC, DeployedResource, deployed_resources
from private_iot.errors import ArgumentError

TYPE = "private-iot:index:PrivateIotNetwork"
OPEN_PORTS = {8883: "MQTT with X.509 client certificates", 443: "MQTT with ALPN x-amzn-mqtt-ca, HTTPS, credentials"}
"""What the two security groups let through (AWS IoT developer guide, "Device communication protocols").

DNS needs no rule: security groups do not filter traffic to the Amazon DNS server (Amazon VPC user guide, "Control
traffic to your AWS resources using security groups").
"""


class PrivateIotNetworkArgs(TypedDict):
    """Arguments of `PrivateIotNetwork`; every one has a default."""

    vpc_cidr_block: NotRequired[str]
    """The VPC's network, a /16 to a /28; it cannot change later. Default: 10.0.0.0/16."""
    availability_zones: NotRequired[list[str]]
    """Zones by name, one subnet each; all of them must offer the endpoint service. Default: chosen by number."""
    availability_zone_count: NotRequired[int]
    """Number of zones to choose among those that offer the endpoint service; a chosen zone stays. Default: as many as
    zones or subnets are named, or else 1."""
    subnet_cidr_blocks: NotRequired[list[str]]
    """One network a zone inside the VPC, each a /27 or larger. Default: computed, 10.0.1.0/24 first of 10.0.0.0/16."""
    vpc_id: NotRequired[str]
    """A VPC that is there already, with DNS support and DNS host names on; its zones are those of `subnet_ids`.
    Default: a VPC of its own."""
    subnet_ids: NotRequired[list[str]]
    """Subnets of that VPC, one a zone, each a /27 or larger with 20 free addresses. Default: subnets of its own."""
    authorized_cidr_blocks: NotRequired[list[str]]
    """Networks outside the VPC that clients may reach through it, in every protocol. Default: none."""
    flow_log: NotRequired[bool]
    """Whether the VPC's connections are recorded in CloudWatch Logs. Default: false."""
    log_retention_days: NotRequired[int]
    """Days that logs are kept, one of CloudWatch Logs' values. Default: 90."""
    credentials_endpoint: NotRequired[bool]
    """Whether the zones have to offer `iot.credentials` as well. Default: false."""
    tags: NotRequired[dict[str, pulumi.Input[str]]]
    """Tags of every resource that takes them, beside Name. Default: none."""


SETTINGS: dict[str, Setting] = {
    "vpc_cidr_block": Setting(read=cidr.text_of(cidr.vpc_network), default="10.0.0.0/16"),
    "availability_zones": Setting(read=string_list, default_text="chosen by number"),
    "availability_zone_count": Setting(
        read=whole_number, default_text="as many as zones or subnets are named, or else 1"
    ),
    "subnet_cidr_blocks": Setting(read=string_list, default_text="computed, 10.0.1.0/24 first of 10.0.0.0/16"),
    "vpc_id": Setting(read=existing_vpc.identifier, default_text="a VPC of its own"),
    "subnet_ids": Setting(read=string_list, default_text="subnets of its own"),
    "authorized_cidr_blocks": Setting(read=cidr.networks, default=[], default_text="none"),
    "flow_log": Setting(read=boolean, default=False),
    "log_retention_days": LOG_RETENTION_DAYS,
    "credentials_endpoint": Setting(read=boolean, default=False),
    "tags": Setting(read=string_map, default={}, default_text="none"),
}


@dataclass(frozen=True, slots=True)
class _Placement:
    """Where everything goes: the VPC's network, and each zone with its block, or with its subnet in a given VPC."""

    vpc: IPv4Network
    blocks: Mapping[str, IPv4Network]
    subnet_ids: Mapping[str, str]
    account_id: str


class PrivateIotNetwork(pulumi.ComponentResource):
    """A VPC without internet: DNS, one subnet a zone, and two security groups that let only each other through.

    In a VPC that is there already, the two security groups only.
    """

    vpc_id: pulumi.Output[str]
    """The VPC."""
    vpc_cidr_block: pulumi.Output[str]
    """The VPC's network in CIDR notation."""
    dns_server: pulumi.Output[str]
    """The VPC's own resolver: the base of its network plus two."""
    subnet_ids: dict[str, pulumi.Output[str]]
    """Zone → its subnet."""
    availability_zones: pulumi.Output[list[str]]
    """The zones that are used."""
    client_vpn_security_group_id: pulumi.Output[str]
    """The group of the Client VPN endpoint: it may only talk to the endpoint's group."""
    endpoint_security_group_id: pulumi.Output[str]
    """The group of the interface endpoints: it may only be talked to by the VPN's group."""

    def __init__(self, name: str, args: PrivateIotNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the network.

        Args:
            name: The first part of every child's name and Name tag: `private-iot` makes `private-iot-vpc`.
            args: What it should be like.
            opts: Options of the component; its children use its aws provider.

        Raises:
            ArgumentError: An argument is refused; nothing was registered.
        """
        arguments = self.check(args)
        deployed = deployed_resources(VPC, SUBNET, SECURITY_GROUP)
        placement = _placement(name, arguments, deployed, endpoint_service.invoke_options(opts))
        super().__init__(TYPE, name, {}, opts)
        self._prefix = name
        self._given_tags = arguments["tags"]
        self._children = pulumi.ResourceOptions(parent=self)

        self.vpc: aws.ec2.Vpc | None = None
        self.route_table: aws.ec2.RouteTable | None = None
        self.subnets: dict[str, aws.ec2.Subnet] = {}
        if placement.subnet_ids:
            self.vpc_id = pulumi.Output.from_input(arguments["vpc_id"])
            self.subnet_ids = {zone: pulumi.Output.from_input(one) for zone, one in placement.subnet_ids.items()}
        else:
            self.vpc = self._vpc(placement.vpc)
            self.vpc_id = self.vpc.id
            self._subnets(placement.blocks, _numbered_subnets(name, deployed))
            self.subnet_ids = {zone: subnet.id for zone, subnet in self.subnets.items()}
        self.vpc_cidr_block = pulumi.Output.from_input(str(placement.vpc)) if self.vpc is None else self.vpc.cidr_block
        self.dns_server = pulumi.Output.from_input(cidr.dns_server(placement.vpc))
        self.availability_zones = pulumi.Output.from_input(list(self.subnet_ids))
        self.client_vpn_security_group = self._security_group("sg-clientvpn")
        self.endpoint_security_group = self._security_group("sg-privatelink")
        self.client_vpn_security_group_id = self.client_vpn_security_group.id
        self.endpoint_security_group_id = self.endpoint_security_group.id
        self._open_between_groups()
        for block in arguments["authorized_cidr_blocks"]:
            self._open_to(block)
        if arguments["flow_log"]:
            self.flow_log = flow_log.record(
                name,
                vpc_id=self.vpc_id,
                retention_days=arguments["log_retention_days"],
                account_id=placement.account_id,
                tags=arguments["tags"],
                parent=self,
            )
        self.register_outputs(
            {
                "vpcId": self.vpc_id,
                "vpcCidrBlock": self.vpc_cidr_block,
                "dnsServer": self.dns_server,
                "subnetIds": self.subnet_ids,
                "availabilityZones": self.availability_zones,
                "clientVpnSecurityGroupId": self.client_vpn_security_group_id,
                "endpointSecurityGroupId": self.endpoint_security_group_id,
            }
        )

    @staticmethod
    def check(args: Mapping[str, Any]) -> PrivateIotNetworkArgs:
        """Refuse bad arguments without asking AWS or registering anything.

        Args:
            args: Arguments of this component.

        Returns:
            The arguments with their defaults.

        Raises:
            ArgumentError: One is refused.
        """
        arguments = checked_arguments("PrivateIotNetwork", args, PrivateIotNetworkArgs, SETTINGS)
        if "vpc_id" in arguments or "subnet_ids" in arguments:
            existing_vpc.check_together(args)
        else:
            _wish(arguments)
        return arguments

    def _tags(self, suffix: str) -> dict[str, pulumi.Input[str]]:
        return {**self._given_tags, "Name": f"{self._prefix}-{suffix}"}

    def _vpc(self, block: IPv4Network) -> "aws.ec2.Vpc":
        """Make the VPC, and empty its default security group: whatever is put into it by mistake reaches nothing."""
        vpc = aws.ec2.Vpc(
            f"{self._prefix}-vpc",
            cidr_block=str(block),
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._tags("vpc"),
            opts=self._children,
        )
        aws.ec2.DefaultSecurityGroup(
            f"{self._prefix}-sg-default",
            vpc_id=vpc.id,
            # Said, not left out: the provider leaves rules alone that the program does not mention.
            ingress=[],
            egress=[],
            tags=self._tags("sg-default"),
            opts=self._children,
        )
        return vpc

    def _subnets(self, blocks: Mapping[str, IPv4Network], numbered: Mapping[str, str]) -> None:
        """Make the subnets, keyed by their zones, and one route table without any route but the VPC's own."""
        self.route_table = aws.ec2.RouteTable(
            f"{self._prefix}-vpc-routes",
            vpc_id=self.vpc_id,
            routes=[],
            tags=self._tags("vpc-routes"),
            opts=self._children,
        )
        for number, (zone, block) in enumerate(blocks.items(), 1):
            name = f"{self._prefix}-vpc-subnet-{zone}"
            earlier = numbered.get(zone)
            self.subnets[zone] = aws.ec2.Subnet(
                name,
                vpc_id=self.vpc_id,
                availability_zone=zone,
                cidr_block=str(block),
                map_public_ip_on_launch=False,
                # The walk-through's name; the resource itself is known by its zone.
                tags=self._tags(f"vpc-subnet-{number}"),
                opts=_renamed(self, earlier),
            )
            aws.ec2.RouteTableAssociation(
                f"{name}-routes",
                subnet_id=self.subnets[zone].id,
                route_table_id=self.route_table.id,
                opts=_renamed(self, earlier and f"{earlier}-routes"),
            )

    def _security_group(self, suffix: str) -> "aws.ec2.SecurityGroup":
        return aws.ec2.SecurityGroup(
            f"{self._prefix}-{suffix}",
            vpc_id=self.vpc_id,
            description=f"{self._prefix}-{suffix}",
            tags=self._tags(suffix),
            opts=self._children,
        )

    def _open_between_groups(self) -> None:
        for port, purpose in OPEN_PORTS.items():
            aws.vpc.SecurityGroupEgressRule(
                f"{self._prefix}-sg-clientvpn-egress-{port}",
                security_group_id=self.client_vpn_security_group_id,
                referenced_security_group_id=self.endpoint_security_group_id,
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                description=purpose,
                tags=self._tags(f"sg-clientvpn-egress-{port}"),
                opts=self._children,
            )
            aws.vpc.SecurityGroupIngressRule(
                f"{self._prefix}-sg-privatelink-ingress-{port}",
                security_group_id=self.endpoint_security_group_id,
                referenced_security_group_id=self.client_vpn_security_group_id,
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                description=purpose,
                tags=self._tags(f"sg-privatelink-ingress-{port}"),
                opts=self._children,
            )

    def _open_to(self, block: str) -> None:
        suffix = f"sg-clientvpn-egress-{block}"
        aws.vpc.SecurityGroupEgressRule(
            f"{self._prefix}-{suffix}",
            security_group_id=self.client_vpn_security_group_id,
            cidr_ipv4=block,
            ip_protocol="-1",
            description=f"Every device may reach {block}",
            tags=self._tags(suffix),
            opts=self._children,
        )


def _renamed(parent: pulumi.Resource, earlier: str | None) -> pulumi.ResourceOptions:
    """A child that an earlier release knew by its number is the same thing under its zone's name."""
    return pulumi.ResourceOptions(parent=parent, aliases=[pulumi.Alias(name=earlier)] if earlier else None)


def _numbered_subnets(name: str, deployed: list[DeployedResource]) -> dict[str, str]:
    """Zone → the name that an earlier release gave its subnet."""
    return {
        one.outputs["availabilityZone"]: one.name
        for one in deployed
        if one.type == SUBNET
        and one.name.startswith(f"{name}-vpc-subnet-")
        and one.name != f"{name}-vpc-subnet-{one.outputs['availabilityZone']}"
    }


def _wish(arguments: PrivateIotNetworkArgs) -> subnets.Wish:
    return subnets.wish(
        IPv4Network(arguments["vpc_cidr_block"]),
        arguments.get("availability_zones", []),
        arguments.get("subnet_cidr_blocks", []),
        arguments.get("availability_zone_count"),
    )


def _placement(
    name: str, arguments: PrivateIotNetworkArgs, deployed: list[DeployedResource], options: pulumi.InvokeOptions
) -> _Placement:
    caller = endpoint_service.caller(options)
    services = [endpoint_service.IOT_DATA]
    if arguments["credentials_endpoint"]:
        services.append(endpoint_service.IOT_CREDENTIALS)
    offered = {
        service: endpoint_service.offered_zones(service, options)
        for service in (endpoint_service.service_name(caller.region, short) for short in services)
    }
    _check_same_vpc(name, arguments, deployed)
    if "vpc_id" in arguments:
        vpc, ids = existing_vpc.look_up(arguments["vpc_id"], arguments["subnet_ids"], options)
        zones, blocks = list(ids), {}
        argument = "subnet_ids"
    else:
        wish, ids = _wish(arguments), {}
        vpc, argument = wish.vpc, "availability_zones"
        there = {
            one.outputs["availabilityZone"]: IPv4Network(one.outputs["cidrBlock"])
            for one in deployed
            if one.type == SUBNET and one.name.startswith(f"{name}-vpc-subnet-")
        }
        told = [zones for zones in offered.values() if zones is not None]
        everywhere = [zone for zone in told[0] if all(zone in zones for zones in told)] if told else None
        zones = subnets.choose_zones(wish, there, everywhere, " with ".join(offered))
        blocks = subnets.place(wish, zones, there)
    for service, here in offered.items():
        if here is not None:
            endpoint_service.check_offered(argument, zones, here, service)
    for block in arguments["authorized_cidr_blocks"]:
        cidr.check_outside("authorized_cidr_blocks", block, vpc)
    return _Placement(vpc, blocks, ids, caller.account_id)


def _check_same_vpc(name: str, arguments: PrivateIotNetworkArgs, deployed: list[DeployedResource]) -> None:
    """Refuse another VPC than the one that the devices are in.

    AWS can neither change a VPC's network nor move a Client VPN endpoint: zone, alias and policy would be in the new
    VPC, the endpoint in the old one, and every device cut off.
    """
    remedy = "deploy a second stack beside this one, hand its bundles to the devices, then destroy this one"
    own = next((one for one in deployed if one.type == VPC and one.name == f"{name}-vpc"), None)
    group = next((one for one in deployed if one.type == SECURITY_GROUP and one.name == f"{name}-sg-clientvpn"), None)
    vpc_id = arguments.get("vpc_id")
    if vpc_id is None and own and own.outputs["cidrBlock"] != arguments["vpc_cidr_block"]:
        raise ArgumentError(
            "vpc_cidr_block",
            arguments["vpc_cidr_block"],
            f"this stack's VPC is {own.outputs['cidrBlock']}, which AWS cannot change",
            f"keep it, or {remedy}",
        )
    if group and (group.outputs["vpcId"] != vpc_id if vpc_id else own is None):
        raise ArgumentError(
            "vpc_id", vpc_id, f"this stack's devices are in {group.outputs['vpcId']}", f"keep that VPC, or {remedy}"
        )
