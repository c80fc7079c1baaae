"""`aws:ec2/vpc:Vpc`. Source: terraform-provider-aws ``internal/service/ec2/vpc_.go``."""

from typing import Any

from lab.providers.aws.common import (
    REGION,
    TAGS,
    attempt,
    cidr_block,
    has_code,
    picked,
    tag_specifications,
    unless_gone,
    update_ec2_tags,
)
from lab.providers.aws.tags import from_list
from lab.providers.schema import Resource, Timeouts, boolean, integer, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("InvalidVpcID.NotFound",)
_AT_CREATION = {"enableDnsSupport": True, "enableDnsHostnames": False, "enableNetworkAddressUsageMetrics": False}


def find_vpc(call: Call, identifier: str) -> dict[str, Any] | None:
    """A VPC as DescribeVpcs gives it, or None."""
    ec2 = call.client("ec2")
    found = unless_gone(
        f"reading EC2 VPC ({identifier})", _GONE, lambda: ec2.describe_vpcs(VpcIds=[identifier])["Vpcs"]
    )
    return found[0] if found else None


def _create(call: Call, inputs: Properties) -> str:
    arguments = picked(
        inputs,
        {
            "CidrBlock": "cidrBlock",
            "InstanceTenancy": "instanceTenancy",
            "Ipv4IpamPoolId": "ipv4IpamPoolId",
            "Ipv4NetmaskLength": "ipv4NetmaskLength",
            "AmazonProvidedIpv6CidrBlock": "assignGeneratedIpv6CidrBlock",
            "Ipv6CidrBlock": "ipv6CidrBlock",
            "Ipv6CidrBlockNetworkBorderGroup": "ipv6CidrBlockNetworkBorderGroup",
            "Ipv6IpamPoolId": "ipv6IpamPoolId",
            "Ipv6NetmaskLength": "ipv6NetmaskLength",
        },
    )
    ec2 = call.client("ec2")
    answer = attempt("creating EC2 VPC", lambda: ec2.create_vpc(**arguments, **tag_specifications("vpc", inputs)))
    return str(answer["Vpc"]["VpcId"])


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    def available() -> dict[str, Any] | None:
        vpc = find_vpc(call, identifier)
        return vpc if vpc is not None and vpc.get("State") == "available" else None

    call.wait_until(f"EC2 VPC ({identifier}) create", available)
    for name, value in _AT_CREATION.items():
        if inputs.get(name) is not None and inputs[name] != value:
            _set_attribute(call, identifier, name, inputs[name])


def _set_attribute(call: Call, identifier: str, name: str, value: bool) -> None:
    ec2 = call.client("ec2")
    argument = {name[0].upper() + name[1:]: {"Value": value}}
    attempt(
        f"updating EC2 VPC ({identifier}): modifying {name}",
        lambda: ec2.modify_vpc_attribute(VpcId=identifier, **argument),
    )


def _attribute(call: Call, identifier: str, name: str) -> bool:
    ec2 = call.client("ec2")
    answer = attempt(
        f"reading EC2 VPC ({identifier}) Attribute ({name})",
        lambda: ec2.describe_vpc_attribute(VpcId=identifier, Attribute=name),
    )
    return bool(answer.get(name[0].upper() + name[1:], {}).get("Value", False))


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    vpc = find_vpc(call, identifier)
    if vpc is None:
        return None
    ec2 = call.client("ec2")
    owner = vpc.get("OwnerId") or call.session.account
    of_vpc = {"Name": "vpc-id", "Values": [identifier]}
    seen: Properties = {
        "arn": f"arn:{call.session.partition}:ec2:{call.region or call.session.region}:{owner}:vpc/{identifier}",
        "cidrBlock": vpc["CidrBlock"],
        "dhcpOptionsId": vpc.get("DhcpOptionsId"),
        "instanceTenancy": vpc.get("InstanceTenancy"),
        "ownerId": owner,
        "tagsAll": from_list(vpc.get("Tags")),
    }
    what = f"reading EC2 VPC ({identifier})"
    for name in _AT_CREATION:
        seen[name] = _attribute(call, identifier, name)
    acls = attempt(
        what,
        lambda: ec2.describe_network_acls(Filters=[of_vpc, {"Name": "default", "Values": ["true"]}])["NetworkAcls"],
    )
    tables = attempt(
        what,
        lambda: ec2.describe_route_tables(Filters=[of_vpc, {"Name": "association.main", "Values": ["true"]}])[
            "RouteTables"
        ],
    )
    groups = attempt(
        what,
        lambda: ec2.describe_security_groups(Filters=[of_vpc, {"Name": "group-name", "Values": ["default"]}])[
            "SecurityGroups"
        ],
    )
    seen["defaultNetworkAclId"] = acls[0]["NetworkAclId"] if acls else None
    seen["mainRouteTableId"] = seen["defaultRouteTableId"] = tables[0]["RouteTableId"] if tables else None
    seen["defaultSecurityGroupId"] = groups[0]["GroupId"] if groups else None
    seen.update(_ipv6(vpc, state))
    return seen


def _ipv6(vpc: dict[str, Any], state: Properties) -> Properties:
    """The IPv6 block that is associated, by its last known association where there are several."""
    blocks = [
        block
        for block in vpc.get("Ipv6CidrBlockAssociationSet") or []
        if (block.get("Ipv6CidrBlockState") or {}).get("State") == "associated"
    ]
    known = [block for block in blocks if block.get("AssociationId") == state.get("ipv6AssociationId")]
    block = (known or blocks or [None])[0]
    if block is None:
        return {}
    amazon = block.get("Ipv6Pool") in (None, "Amazon")
    return {
        "assignGeneratedIpv6CidrBlock": amazon,
        "ipv6AssociationId": block.get("AssociationId"),
        "ipv6CidrBlock": block.get("Ipv6CidrBlock"),
        "ipv6CidrBlockNetworkBorderGroup": block.get("NetworkBorderGroup"),
        "ipv6IpamPoolId": None if amazon else block.get("Ipv6Pool"),
    }


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    ec2 = call.client("ec2")
    for name in _AT_CREATION:
        if name in changed:
            _set_attribute(call, identifier, name, bool(inputs.get(name)))
    if "instanceTenancy" in changed:
        tenancy = inputs["instanceTenancy"]
        attempt(
            f"updating EC2 VPC ({identifier})",
            lambda: ec2.modify_vpc_tenancy(VpcId=identifier, InstanceTenancy=tenancy),
        )
    if "assignGeneratedIpv6CidrBlock" in changed:
        _change_ipv6(call, identifier, state, inputs)
    if "tagsAll" in changed:
        update_ec2_tags(call, identifier, "EC2 VPC", state, inputs)


def _change_ipv6(call: Call, identifier: str, state: Properties, inputs: Properties) -> None:
    ec2 = call.client("ec2")
    what = f"updating EC2 VPC ({identifier}): IPv6 CIDR block"
    if state.get("ipv6AssociationId"):
        attempt(what, lambda: ec2.disassociate_vpc_cidr_block(AssociationId=state["ipv6AssociationId"]))
    if inputs.get("assignGeneratedIpv6CidrBlock"):
        attempt(what, lambda: ec2.associate_vpc_cidr_block(VpcId=identifier, AmazonProvidedIpv6CidrBlock=True))


def _delete(call: Call, identifier: str, state: Properties) -> None:
    del state
    ec2 = call.client("ec2")
    what = f"deleting EC2 VPC ({identifier})"
    unless_gone(
        what,
        _GONE,
        lambda: call.retry(what, lambda: ec2.delete_vpc(VpcId=identifier), while_error=has_code("DependencyViolation")),
    )
    call.wait_until(f"EC2 VPC ({identifier}) delete", lambda: True if find_vpc(call, identifier) is None else None)


RESOURCES = {
    "aws:ec2/vpc:Vpc": Resource(
        type="aws:ec2/vpc:Vpc",
        title="EC2 VPC",
        inputs={
            **REGION,
            **TAGS,
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
            "arn": string(),
            "defaultNetworkAclId": string(),
            "defaultRouteTableId": string(),
            "defaultSecurityGroupId": string(),
            "dhcpOptionsId": string(),
            "ipv6AssociationId": string(),
            "mainRouteTableId": string(),
            "ownerId": string(),
        },
        create=_create,
        settle=_settle,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(create=600, update=600, delete=300),
    )
}
