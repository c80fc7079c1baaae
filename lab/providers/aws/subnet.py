"""`aws:ec2/subnet:Subnet`. Source: terraform-provider-aws ``internal/service/ec2/vpc_subnet.go``."""

from typing import Any

from lab.providers.aws.clients import attempt
from lab.providers.aws.common import cidr_block
from lab.providers.aws.description import Answer, Description, State, settled
from lab.providers.aws.vpc import associated_ipv6
from lab.providers.schema import Timeouts, boolean, integer, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

# Input → the argument of ModifySubnetAttribute, each of which takes a call of its own.
_SWITCHES = {
    "assignIpv6AddressOnCreation": "AssignIpv6AddressOnCreation",
    "enableDns64": "EnableDns64",
    "enableResourceNameDnsAaaaRecordOnLaunch": "EnableResourceNameDnsAAAARecordOnLaunch",
    "enableResourceNameDnsARecordOnLaunch": "EnableResourceNameDnsARecordOnLaunch",
    "mapPublicIpOnLaunch": "MapPublicIpOnLaunch",
}


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    set_ = frozenset(name for name in (*_SWITCHES, "privateDnsHostnameTypeOnLaunch") if inputs.get(name))
    _more(call, identifier, {}, inputs, set_)


def _more(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    ec2 = call.client("ec2")
    if "ipv6CidrBlock" in changed:
        what, association = (
            f"updating EC2 Subnet ({identifier}): IPv6 CIDR block",
            state.get("ipv6CidrBlockAssociationId"),
        )
        if association:
            attempt(what, lambda: ec2.disassociate_subnet_cidr_block(AssociationId=association))
        block = inputs["ipv6CidrBlock"]
        attempt(what, lambda: ec2.associate_subnet_cidr_block(SubnetId=identifier, Ipv6CidrBlock=block))
    values: dict[str, Any] = {
        argument: {"Value": bool(inputs.get(name))} for name, argument in _SWITCHES.items() if name in changed
    }
    if "privateDnsHostnameTypeOnLaunch" in changed:
        values["PrivateDnsHostnameTypeOnLaunch"] = inputs["privateDnsHostnameTypeOnLaunch"]
    for argument, value in values.items():
        one = {argument: value}
        attempt(
            f"setting EC2 Subnet ({identifier}) {argument}",
            lambda one=one: ec2.modify_subnet_attribute(SubnetId=identifier, **one),  # type: ignore[misc]
        )


def _seen(call: Call, subnet: Answer, state: Properties) -> Properties:
    del call, state
    blocks = associated_ipv6(subnet)
    return {
        "ipv6CidrBlock": blocks[0].get("Ipv6CidrBlock") if blocks else None,
        "ipv6CidrBlockAssociationId": blocks[0].get("AssociationId") if blocks else None,
    }


def _assigned_ipv6(state: Properties, inputs: Properties, changed: frozenset[str]) -> frozenset[str]:
    """A subnet that gave its interfaces IPv6 addresses is replaced with its block (CustomizeDiff in the provider)."""
    del inputs, changed
    return frozenset({"ipv6CidrBlock"}) if state.get("assignIpv6AddressOnCreation") else frozenset()


RESOURCES = settled(
    [
        Description(
            type="aws:ec2/subnet:Subnet",
            title="EC2 Subnet",
            service="ec2",
            inputs={
                "assignIpv6AddressOnCreation": boolean(default=False),
                "availabilityZone": string(computed=True, force_new=True, conflicts=("availabilityZoneId",)),
                "availabilityZoneId": string(computed=True, force_new=True, conflicts=("availabilityZone",)),
                "cidrBlock": string(computed=True, force_new=True, validate=cidr_block()),
                "customerOwnedIpv4Pool": string(requires=("mapCustomerOwnedIpOnLaunch", "outpostArn")),
                "enableDns64": boolean(default=False),
                "enableLniAtDeviceIndex": integer(),
                "enableResourceNameDnsARecordOnLaunch": boolean(default=False),
                "enableResourceNameDnsAaaaRecordOnLaunch": boolean(default=False),
                "ipv4IpamPoolId": string(force_new=True, conflicts=("customerOwnedIpv4Pool",)),
                "ipv4NetmaskLength": integer(
                    minimum=16,
                    maximum=28,
                    force_new=True,
                    conflicts=("cidrBlock", "customerOwnedIpv4Pool"),
                    requires=("ipv4IpamPoolId",),
                ),
                "ipv6CidrBlock": string(computed=True),
                "ipv6IpamPoolId": string(force_new=True),
                "ipv6Native": boolean(default=False, force_new=True),
                "ipv6NetmaskLength": integer(
                    force_new=True, conflicts=("ipv6CidrBlock",), requires=("ipv6IpamPoolId",)
                ),
                "mapCustomerOwnedIpOnLaunch": boolean(requires=("customerOwnedIpv4Pool", "outpostArn")),
                "mapPublicIpOnLaunch": boolean(default=False),
                "outpostArn": string(force_new=True),
                "privateDnsHostnameTypeOnLaunch": string(computed=True, allowed=("ip-name", "resource-name")),
                "vpcId": string(required=True, force_new=True),
            },
            outputs={"ipv6CidrBlockAssociationId": string(), "ownerId": string()},
            find=("describe_subnets", "SubnetIds[]", "Subnets[]"),
            gone=("InvalidSubnetID.NotFound",),
            create=("create_subnet", "Subnet.SubnetId"),
            sent=(
                "vpcId",
                "cidrBlock",
                "availabilityZone",
                "availabilityZoneId",
                "ipv6CidrBlock",
                "ipv6Native",
                "outpostArn",
            ),
            fields={
                "arn": "SubnetArn",
                "enableResourceNameDnsARecordOnLaunch": "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord",
                "enableResourceNameDnsAaaaRecordOnLaunch": (
                    "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsAAAARecord"
                ),
                "privateDnsHostnameTypeOnLaunch": "PrivateDnsNameOptionsOnLaunch.HostnameType",
            },
            state=State("State", wanted=("available",)),
            arn="subnet/{id}",
            tags="ec2:subnet",
            settle=_settle,
            seen=_seen,
            more=_more,
            delete=("delete_subnet", "SubnetId"),
            busy=("DependencyViolation",),
        ).resource(also_replaces=_assigned_ipv6, timeouts=Timeouts(delete=1200))
    ]
)
