"""`aws:ec2/subnet:Subnet`. Source: terraform-provider-aws ``internal/service/ec2/vpc_subnet.go``."""

from lab.providers.aws.common import cidr_block
from lab.providers.aws.description import Description, Operation, State, served
from lab.providers.aws.shapes import Answer
from lab.providers.aws.vpc import associated_ipv6
from lab.providers.schema import Timeouts, boolean, integer, string
from lab.providers.values import Properties

_OF_OUTPOSTS = ("customerOwnedIpv4Pool", "enableLniAtDeviceIndex", "mapCustomerOwnedIpOnLaunch")


def _change_ipv6(op: Operation) -> None:
    if "ipv6CidrBlock" in op.changed:
        if op.state.get("ipv6CidrBlockAssociationId"):
            op.api.disassociate_subnet_cidr_block(AssociationId=op.state["ipv6CidrBlockAssociationId"])
        op.api.associate_subnet_cidr_block(SubnetId=op.id, Ipv6CidrBlock=op.inputs["ipv6CidrBlock"])


def _ipv6(_op: Operation, subnet: Answer) -> Properties:
    [block, *_] = associated_ipv6(subnet) or [{}]
    return {
        "ipv6CidrBlock": block.get("Ipv6CidrBlock"),
        "ipv6CidrBlockAssociationId": block.get("AssociationId"),
    }


def _assigned_ipv6(state: Properties, inputs: Properties, changed: frozenset[str]) -> frozenset[str]:
    """A subnet that gave its interfaces IPv6 addresses is replaced with its block (CustomizeDiff in the provider)."""
    return frozenset({"ipv6CidrBlock"}) if state.get("assignIpv6AddressOnCreation") else frozenset()


SUBNET = Description(
    type="aws:ec2/subnet:Subnet",
    title="EC2 Subnet",
    timeouts=Timeouts(delete=1200),
    also_replaces=_assigned_ipv6,
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
        "ipv6NetmaskLength": integer(force_new=True, conflicts=("ipv6CidrBlock",), requires=("ipv6IpamPoolId",)),
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
    unsent=_OF_OUTPOSTS,
    fields={
        "arn": "SubnetArn",
        "enableResourceNameDnsARecordOnLaunch": "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord",
        "enableResourceNameDnsAaaaRecordOnLaunch": "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsAAAARecord",
        "privateDnsHostnameTypeOnLaunch": "PrivateDnsNameOptionsOnLaunch.HostnameType",
    },
    switch=("modify_subnet_attribute", "SubnetId"),
    state=State("State", wanted=("available",)),
    arn="subnet/{id}",
    tags="subnet",
    seen=_ipv6,
    more=_change_ipv6,
    delete=("delete_subnet", "SubnetId"),
    busy=("DependencyViolation",),
)

RESOURCES = served(SUBNET)
