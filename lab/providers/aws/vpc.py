"""`aws:ec2/vpc:Vpc`. Source: terraform-provider-aws ``internal/service/ec2/vpc_.go``."""

from typing import Any

from lab.providers.aws.clients import attempt
from lab.providers.aws.common import cidr_block
from lab.providers.aws.description import Answer, Description, State, settled
from lab.providers.schema import Timeouts, boolean, integer, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_AT_CREATION = {"enableDnsSupport": True, "enableDnsHostnames": False, "enableNetworkAddressUsageMetrics": False}
# Output → how AWS lists what it made with the VPC: operation, member of the answer, filter, id.
_MADE_WITH_IT = {
    "defaultNetworkAclId": ("describe_network_acls", "NetworkAcls", ("default", "true"), "NetworkAclId"),
    "mainRouteTableId": ("describe_route_tables", "RouteTables", ("association.main", "true"), "RouteTableId"),
    "defaultSecurityGroupId": ("describe_security_groups", "SecurityGroups", ("group-name", "default"), "GroupId"),
}


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    for name, value in _AT_CREATION.items():
        if inputs.get(name) is not None and inputs[name] != value:
            _set_attribute(call, identifier, name, inputs[name])


def _set_attribute(call: Call, identifier: str, name: str, value: bool) -> None:
    ec2, argument = call.client("ec2"), {name[0].upper() + name[1:]: {"Value": value}}
    attempt(
        f"updating EC2 VPC ({identifier}): modifying {name}",
        lambda: ec2.modify_vpc_attribute(VpcId=identifier, **argument),
    )


def _seen(call: Call, vpc: Answer, state: Properties) -> Properties:
    ec2, identifier = call.client("ec2"), vpc["VpcId"]
    seen: Properties = {}
    for name in _AT_CREATION:
        field = name[0].upper() + name[1:]
        seen[name] = bool(ec2.describe_vpc_attribute(VpcId=identifier, Attribute=name).get(field, {}).get("Value"))
    of_vpc = {"Name": "vpc-id", "Values": [identifier]}
    for name, (operation, member, (key, value), field) in _MADE_WITH_IT.items():
        found = getattr(ec2, operation)(Filters=[of_vpc, {"Name": key, "Values": [value]}])[member]
        seen[name] = found[0][field] if found else None
    return {**seen, "defaultRouteTableId": seen["mainRouteTableId"], **_ipv6(vpc, state)}


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


def _more(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    for name in _AT_CREATION:
        if name in changed:
            _set_attribute(call, identifier, name, bool(inputs.get(name)))
    if "assignGeneratedIpv6CidrBlock" in changed:
        ec2, what = call.client("ec2"), f"updating EC2 VPC ({identifier}): IPv6 CIDR block"
        if state.get("ipv6AssociationId"):
            attempt(what, lambda: ec2.disassociate_vpc_cidr_block(AssociationId=state["ipv6AssociationId"]))
        if inputs.get("assignGeneratedIpv6CidrBlock"):
            attempt(what, lambda: ec2.associate_vpc_cidr_block(VpcId=identifier, AmazonProvidedIpv6CidrBlock=True))


RESOURCES = settled(
    [
        Description(
            type="aws:ec2/vpc:Vpc",
            title="EC2 VPC",
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
            outputs={
                "dhcpOptionsId": string(),
                "defaultRouteTableId": string(),
                "ipv6AssociationId": string(),
                "ownerId": string(),
                **{name: string() for name in _MADE_WITH_IT},
            },
            find=("describe_vpcs", "VpcIds[]", "Vpcs[]"),
            gone=("InvalidVpcID.NotFound",),
            create=("create_vpc", "Vpc.VpcId"),
            sent=(
                "cidrBlock",
                "instanceTenancy",
                "ipv4IpamPoolId",
                "ipv4NetmaskLength",
                "assignGeneratedIpv6CidrBlock",
                "ipv6CidrBlock",
                "ipv6CidrBlockNetworkBorderGroup",
                "ipv6IpamPoolId",
                "ipv6NetmaskLength",
            ),
            fields={"assignGeneratedIpv6CidrBlock": "AmazonProvidedIpv6CidrBlock"},
            modify=("modify_vpc_tenancy", "VpcId"),
            modified=("instanceTenancy",),
            state=State("State", wanted=("available",)),
            arn="vpc/{id}",
            tags="ec2:vpc",
            settle=_settle,
            seen=_seen,
            more=_more,
            delete=("delete_vpc", "VpcId"),
            busy=("DependencyViolation",),
        ).resource(timeouts=Timeouts(delete=300))
    ]
)
