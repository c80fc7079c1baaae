"""`aws:ec2/vpc:Vpc`. Source: terraform-provider-aws ``internal/service/ec2/vpc_.go``.

Left out: IPv6 and address pools (IPAM).
"""

from lab.providers.aws.common import cidr_block
from lab.providers.aws.description import Description, Operation, State, served
from lab.providers.aws.shapes import Answer
from lab.providers.schema import Timeouts, boolean, string
from lab.providers.values import Properties

_ATTRIBUTES = ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics")
# Output → how AWS lists what it made with the VPC: operation, member of the answer, filter, id.
_MADE_WITH_IT = {
    "defaultNetworkAclId": ("describe_network_acls", "NetworkAcls", ("default", "true"), "NetworkAclId"),
    "mainRouteTableId": ("describe_route_tables", "RouteTables", ("association.main", "true"), "RouteTableId"),
    "defaultSecurityGroupId": ("describe_security_groups", "SecurityGroups", ("group-name", "default"), "GroupId"),
}


def _seen(op: Operation, _vpc: Answer) -> Properties:
    seen: Properties = {}
    for name in _ATTRIBUTES:
        answer = op.api.describe_vpc_attribute(VpcId=op.id, Attribute=name)
        seen[name] = bool(answer.get(name[0].upper() + name[1:], {}).get("Value"))
    of_vpc = {"Name": "vpc-id", "Values": [op.id]}
    for name, (operation, member, (key, value), field) in _MADE_WITH_IT.items():
        found = getattr(op.api, operation)(Filters=[of_vpc, {"Name": key, "Values": [value]}])[member]
        seen[name] = found[0][field] if found else None
    return {**seen, "defaultRouteTableId": seen["mainRouteTableId"]}


VPC = Description(
    type="aws:ec2/vpc:Vpc",
    title="EC2 VPC",
    timeouts=Timeouts(delete=300),
    service="ec2",
    inputs={
        "cidrBlock": string(computed=True, force_new=True, validate=cidr_block(largest=16, smallest=28)),
        "enableDnsHostnames": boolean(computed=True),
        "enableDnsSupport": boolean(default=True),
        "enableNetworkAddressUsageMetrics": boolean(computed=True),
        "instanceTenancy": string(default="default", allowed=("default", "dedicated")),
    },
    outputs=dict.fromkeys(("dhcpOptionsId", "defaultRouteTableId", "ownerId", *_MADE_WITH_IT), string()),
    find=("describe_vpcs", "VpcIds[]", "Vpcs[]"),
    gone=("InvalidVpcID.NotFound",),
    create=("create_vpc", "Vpc.VpcId"),
    modify=("modify_vpc_tenancy", "VpcId"),
    switch=("modify_vpc_attribute", "VpcId"),
    state=State("State", wanted=("available",)),
    arn="vpc/{id}",
    tags="vpc",
    seen=_seen,
    delete=("delete_vpc", "VpcId"),
    busy=("DependencyViolation",),
)

RESOURCES = served(VPC)
