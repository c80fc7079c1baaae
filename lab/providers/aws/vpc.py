"""`aws:ec2/vpc:Vpc`. Source: terraform-provider-aws ``internal/service/ec2/vpc_.go``."""

from typing import Any

from lab.providers.aws.common import cidr_block
from lab.providers.aws.description import Description, Operation, State, served
from lab.providers.aws.shapes import Answer
from lab.providers.schema import Timeouts, boolean, integer, string
from lab.providers.values import Properties

_ATTRIBUTES = ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics")
# Output → how AWS lists what it made with the VPC: operation, member of the answer, filter, id.
_MADE_WITH_IT = {
    "defaultNetworkAclId": ("describe_network_acls", "NetworkAcls", ("default", "true"), "NetworkAclId"),
    "mainRouteTableId": ("describe_route_tables", "RouteTables", ("association.main", "true"), "RouteTableId"),
    "defaultSecurityGroupId": ("describe_security_groups", "SecurityGroups", ("group-name", "default"), "GroupId"),
}


def _seen(op: Operation, vpc: Answer) -> Properties:
    seen: Properties = {}
    for name in _ATTRIBUTES:
        answer = op.api.describe_vpc_attribute(VpcId=op.id, Attribute=name)
        seen[name] = bool(answer.get(name[0].upper() + name[1:], {}).get("Value"))
    of_vpc = {"Name": "vpc-id", "Values": [op.id]}
    for name, (operation, member, (key, value), field) in _MADE_WITH_IT.items():
        found = getattr(op.api, operation)(Filters=[of_vpc, {"Name": key, "Values": [value]}])[member]
        seen[name] = found[0][field] if found else None
    return {**seen, "defaultRouteTableId": seen["mainRouteTableId"], **_ipv6(vpc, op.state)}


def associated_ipv6(thing: Answer) -> list[dict[str, Any]]:
    """The IPv6 blocks of a VPC or subnet that are in force."""
    blocks = thing.get("Ipv6CidrBlockAssociationSet") or []
    return [block for block in blocks if (block.get("Ipv6CidrBlockState") or {}).get("State") == "associated"]


def _ipv6(vpc: Answer, state: Properties) -> Properties:
    """The IPv6 block that is associated, by its last known association where there are several."""
    blocks = associated_ipv6(vpc)
    known = [block for block in blocks if block.get("AssociationId") == state.get("ipv6AssociationId")]
    if not blocks:
        return {}
    block = (known or blocks)[0]
    amazon = block.get("Ipv6Pool") in (None, "Amazon")
    return {
        "assignGeneratedIpv6CidrBlock": amazon,
        "ipv6AssociationId": block.get("AssociationId"),
        "ipv6CidrBlock": block.get("Ipv6CidrBlock"),
        "ipv6CidrBlockNetworkBorderGroup": block.get("NetworkBorderGroup"),
        "ipv6IpamPoolId": None if amazon else block.get("Ipv6Pool"),
    }


def _change_ipv6(op: Operation) -> None:
    if "assignGeneratedIpv6CidrBlock" in op.changed:
        if op.state.get("ipv6AssociationId"):
            op.api.disassociate_vpc_cidr_block(AssociationId=op.state["ipv6AssociationId"])
        if op.inputs.get("assignGeneratedIpv6CidrBlock"):
            op.api.associate_vpc_cidr_block(VpcId=op.id, AmazonProvidedIpv6CidrBlock=True)


VPC = Description(
    type="aws:ec2/vpc:Vpc",
    title="EC2 VPC",
    timeouts=Timeouts(delete=300),
    service="ec2",
    inputs={
        "assignGeneratedIpv6CidrBlock": boolean(conflicts=("ipv6IpamPoolId",)),
        "cidrBlock": string(
            computed=True,
            force_new=True,
            conflicts=("ipv4NetmaskLength",),
            validate=cidr_block(largest=16, smallest=28),
        ),
        "enableDnsHostnames": boolean(computed=True),
        "enableDnsSupport": boolean(default=True),
        "enableNetworkAddressUsageMetrics": boolean(computed=True),
        "instanceTenancy": string(default="default", allowed=("default", "dedicated")),
        "ipv4IpamPoolId": string(force_new=True),
        "ipv4NetmaskLength": integer(
            minimum=16, maximum=28, force_new=True, conflicts=("cidrBlock",), requires=("ipv4IpamPoolId",)
        ),
        "ipv6CidrBlock": string(
            computed=True,
            conflicts=("ipv6NetmaskLength", "assignGeneratedIpv6CidrBlock"),
            requires=("ipv6IpamPoolId",),
        ),
        "ipv6CidrBlockNetworkBorderGroup": string(computed=True, requires=("assignGeneratedIpv6CidrBlock",)),
        "ipv6IpamPoolId": string(conflicts=("assignGeneratedIpv6CidrBlock",)),
        "ipv6NetmaskLength": integer(
            allowed=(44, 48, 52, 56, 60), conflicts=("ipv6CidrBlock",), requires=("ipv6IpamPoolId",)
        ),
    },
    outputs=dict.fromkeys(
        ("dhcpOptionsId", "defaultRouteTableId", "ipv6AssociationId", "ownerId", *_MADE_WITH_IT), string()
    ),
    find=("describe_vpcs", "VpcIds[]", "Vpcs[]"),
    gone=("InvalidVpcID.NotFound",),
    create=("create_vpc", "Vpc.VpcId"),
    fields={"assignGeneratedIpv6CidrBlock": "AmazonProvidedIpv6CidrBlock"},
    modify=("modify_vpc_tenancy", "VpcId"),
    switch=("modify_vpc_attribute", "VpcId"),
    state=State("State", wanted=("available",)),
    arn="vpc/{id}",
    tags="vpc",
    seen=_seen,
    more=_change_ipv6,
    delete=("delete_vpc", "VpcId"),
    busy=("DependencyViolation",),
)

RESOURCES = served(VPC)
