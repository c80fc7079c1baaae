"""The VPC that devices reach AWS IoT through: no way in and no way out but the ones that are named here."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, NotRequired, Self, TypedDict

import pulumi
import pulumi_aws as aws

from private_iot import cidr, lookups, zones
from private_iot.arguments import flag, given, texts, whole_number
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
    """The VPC's network, a /16 to a /28. Default: 10.0.0.0/16."""
    availability_zones: NotRequired[list[str]]
    """Zones by name, one subnet each; all of them must offer the endpoint service. Default: chosen by number."""
    availability_zone_count: NotRequired[int]
    """Number of zones to choose, in alphabetical order, among those that offer the endpoint service. Default: 1.

    A choice may change when AWS offers the service in a further zone, and that would replace subnets: name the zones
    of an environment that has to last.
    """
    subnet_cidr_blocks: NotRequired[list[str]]
    """One network a zone inside the VPC, each a /27 or larger. Default: computed, 10.0.1.0/24 first of 10.0.0.0/16."""
    credentials_endpoint: NotRequired[bool]
    """Whether the zones have to offer `iot.credentials` as well. Default: false."""
    tags: NotRequired[dict[str, pulumi.Input[str]]]
    """Tags of every resource that takes them, beside Name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arguments:
    vpc: IPv4Network
    subnets: tuple[IPv4Network, ...]
    availability_zones: tuple[str, ...]
    services: tuple[str, ...]
    tags: dict[str, pulumi.Input[str]]

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> Self:
        values = given("PrivateIotNetwork", args, PrivateIotNetworkArgs)
        vpc = cidr.vpc_network("vpc_cidr_block", values.get("vpc_cidr_block", "10.0.0.0/16"))
        named = texts("availability_zones", values.get("availability_zones", []))
        blocks = texts("subnet_cidr_blocks", values.get("subnet_cidr_blocks", []))
        counts = {
            "availability_zones": len(named),
            "subnet_cidr_blocks": len(blocks),
            "availability_zone_count": whole_number("availability_zone_count", values["availability_zone_count"])
            if "availability_zone_count" in values
            else 0,
        }
        deciding = next((argument for argument, count in counts.items() if count), None)
        for argument, count in counts.items():
            if deciding and argument in values and count != counts[deciding]:
                raise ArgumentError(
                    argument,
                    values[argument],
                    f"it has to agree with {deciding}, which makes {counts[deciding]} subnets",
                    f"give as many or leave {argument} out",
                )
        if deciding is None and "availability_zone_count" in values:
            deciding = "availability_zone_count"
        number = counts[deciding] if deciding else 1
        if blocks:
            subnets = cidr.given_subnets("subnet_cidr_blocks", vpc, blocks)
        else:
            subnets = cidr.plan_subnets(deciding or "vpc_cidr_block", vpc, number)
        credentials = flag("credentials_endpoint", values.get("credentials_endpoint", False))
        return cls(
            vpc=vpc,
            subnets=subnets,
            availability_zones=named,
            services=(lookups.IOT_DATA, lookups.IOT_CREDENTIALS) if credentials else (lookups.IOT_DATA,),
            tags=dict(values.get("tags", {})),
        )

    def zones(self, options: pulumi.InvokeOptions) -> tuple[str, ...]:
        region = aws.get_region(opts=options).region
        offered: list[str] | None = None
        for service in self.services:
            name = lookups.service_name(region, service)
            here = lookups.offered_zones(name, options)
            if self.availability_zones:
                zones.check_offered("availability_zones", self.availability_zones, here, name)
            offered = here if offered is None else [zone for zone in offered if zone in here]
        if self.availability_zones:
            return self.availability_zones
        services = " with ".join(lookups.service_name(region, service) for service in self.services)
        return zones.choose("availability_zone_count", len(self.subnets), offered or [], services)


class PrivateIotNetwork(pulumi.ComponentResource):
    """A VPC without internet: DNS, one subnet a zone, and two security groups that let only each other through."""

    vpc_id: pulumi.Output[str]
    """The VPC."""
    vpc_cidr_block: pulumi.Output[str]
    """The VPC's network in CIDR notation."""
    dns_server: pulumi.Output[str]
    """The VPC's own resolver: the base of its network plus two."""
    subnet_ids: list[pulumi.Output[str]]
    """One subnet a zone, in the order of `availability_zones`."""
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
        arguments = _Arguments.of(args)
        chosen = arguments.zones(lookups.invoke_options(opts))
        super().__init__(TYPE, name, {}, opts)
        self._prefix = name
        self._arguments = arguments

        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=str(arguments.vpc),
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._tags("vpc"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.vpc_id = vpc.id
        self.vpc_cidr_block = vpc.cidr_block
        self.dns_server = pulumi.Output.from_input(cidr.dns_server(arguments.vpc))
        self.availability_zones = pulumi.Output.from_input(list(chosen))
        self.subnet_ids = self._subnets(chosen)
        self._empty_default_security_group()
        self.client_vpn_security_group_id = self._security_group("sg-clientvpn")
        self.endpoint_security_group_id = self._security_group("sg-privatelink")
        self._open_between_groups()
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
    def check(args: Mapping[str, Any]) -> None:
        """Refuse bad arguments without asking AWS or registering anything.

        Args:
            args: Arguments of this component.

        Raises:
            ArgumentError: One is refused.
        """
        _Arguments.of(args)

    def _tags(self, suffix: str) -> dict[str, pulumi.Input[str]]:
        return {**self._arguments.tags, "Name": f"{self._prefix}-{suffix}"}

    def _subnets(self, chosen: tuple[str, ...]) -> list[pulumi.Output[str]]:
        """Make the subnets, and one route table without any route but the VPC's own."""
        children = pulumi.ResourceOptions(parent=self)
        route_table = aws.ec2.RouteTable(
            f"{self._prefix}-vpc-routes", vpc_id=self.vpc_id, routes=[], tags=self._tags("vpc-routes"), opts=children
        )
        subnet_ids = []
        for number, (zone, network) in enumerate(zip(chosen, self._arguments.subnets, strict=True), 1):
            subnet = aws.ec2.Subnet(
                f"{self._prefix}-vpc-subnet-{number}",
                vpc_id=self.vpc_id,
                availability_zone=zone,
                cidr_block=str(network),
                map_public_ip_on_launch=False,
                tags=self._tags(f"vpc-subnet-{number}"),
                opts=children,
            )
            aws.ec2.RouteTableAssociation(
                f"{self._prefix}-vpc-subnet-{number}-routes",
                subnet_id=subnet.id,
                route_table_id=route_table.id,
                opts=children,
            )
            subnet_ids.append(subnet.id)
        return subnet_ids

    def _empty_default_security_group(self) -> None:
        """Adopt the VPC's default group without rules: whatever is put into it by mistake reaches nothing."""
        aws.ec2.DefaultSecurityGroup(
            f"{self._prefix}-sg-default",
            vpc_id=self.vpc_id,
            # Said, not left out: the provider leaves rules alone that the program does not mention.
            ingress=[],
            egress=[],
            tags=self._tags("sg-default"),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _security_group(self, suffix: str) -> pulumi.Output[str]:
        group = aws.ec2.SecurityGroup(
            f"{self._prefix}-{suffix}",
            vpc_id=self.vpc_id,
            description=f"{self._prefix}-{suffix}",
            tags=self._tags(suffix),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return group.id

    def _open_between_groups(self) -> None:
        children = pulumi.ResourceOptions(parent=self)
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
                opts=children,
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
                opts=children,
            )
