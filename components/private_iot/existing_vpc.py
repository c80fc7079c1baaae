"""A VPC that is there already: what AWS and the devices ask of it and of its subnets."""

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

import pulumi
import pulumi_aws as aws

from private_iot import cidr
from private_iot.errors import ArgumentError

FREE_ADDRESSES = 20
"""What an associated subnet needs (Client VPN administrator guide, "Limitations and rules")."""


def identifier(argument: str, value: object) -> str:
    """Return a VPC's identifier."""
    if not isinstance(value, str) or not value.startswith("vpc-"):
        raise ArgumentError(argument, value, "it must be a VPC's identifier", "write it as vpc-0123456789abcdef0")
    return value


def check_together(args: Mapping[str, Any]) -> None:
    """Refuse one of VPC and subnets without the other, and what only a VPC of the network's own can have."""
    for argument, other in (("vpc_id", "subnet_ids"), ("subnet_ids", "vpc_id")):
        if not args.get(argument):
            raise ArgumentError(
                argument, args.get(argument), f"{other} is given, and each needs the other", f"pass {argument} as well"
            )
    for argument in ("vpc_cidr_block", "availability_zones", "availability_zone_count", "subnet_cidr_blocks"):
        if args.get(argument) is not None:
            raise ArgumentError(
                argument, args[argument], "vpc_id names a VPC that has its networks and zones", f"leave {argument} out"
            )


def look_up(vpc_id: str, subnet_ids: list[str], options: pulumi.InvokeOptions) -> tuple[IPv4Network, dict[str, str]]:
    """Ask AWS for the VPC and the subnets, and refuse what would not work.

    A private hosted zone needs both DNS attributes of its VPC (Route 53 developer guide, "Considerations when working
    with a private hosted zone"); an association needs a subnet of /27 with 20 free addresses, one a zone (Client VPN
    administrator guide); a device knows one network, the VPC's first.

    Returns:
        The VPC's network, and zone → subnet.
    """
    vpc = aws.ec2.get_vpc(id=vpc_id, opts=options)
    for attribute, on in (("DNS support", vpc.enable_dns_support), ("DNS host names", vpc.enable_dns_hostnames)):
        if not on:
            raise ArgumentError(
                "vpc_id", vpc_id, f"a private hosted zone needs the VPC's {attribute}", f"turn its {attribute} on"
            )
    network = cidr.vpc_network("vpc_id", vpc.cidr_block)
    zones: dict[str, str] = {}
    for subnet_id in subnet_ids:
        subnet = aws.ec2.get_subnet(id=subnet_id, opts=options)
        block = IPv4Network(subnet.cidr_block)
        for wrong, limit, remedy in (
            (subnet.vpc_id != vpc_id, f"it is a subnet of {subnet.vpc_id}, not of {vpc_id}", "name one of that VPC"),
            (
                not block.subnet_of(network),
                f"devices know the VPC as {network}, and the subnet is {block} of a further network",
                f"name a subnet in {network}",
            ),
            (
                block.prefixlen > cidr.SMALLEST_SUBNET,
                f"Client VPN associates subnets of /{cidr.SMALLEST_SUBNET} or larger, not /{block.prefixlen}",
                "name a larger one",
            ),
            (
                subnet.available_ip_address_count < FREE_ADDRESSES,
                f"Client VPN needs {FREE_ADDRESSES} free addresses, and {subnet.available_ip_address_count} are",
                "name one with more",
            ),
            (
                subnet.availability_zone in zones,
                f"one subnet a zone is associated, and {zones.get(subnet.availability_zone)} is in that zone too",
                "name one of the two",
            ),
        ):
            if wrong:
                raise ArgumentError("subnet_ids", subnet_id, limit, remedy)
        zones[subnet.availability_zone] = subnet_id
    return network, zones
