"""`aws:ec2/subnet:Subnet`. Source: terraform-provider-aws ``internal/service/ec2/vpc_subnet.go``.

Left out: IPv6, address pools (IPAM) and Outposts.
"""

from lab.providers.aws.common import cidr_block
from lab.providers.aws.description import Description, State, served
from lab.providers.schema import Timeouts, boolean, string

SUBNET = Description(
    type="aws:ec2/subnet:Subnet",
    title="EC2 Subnet",
    timeouts=Timeouts(delete=1200),
    service="ec2",
    inputs={
        "availabilityZone": string(computed=True, force_new=True, conflicts=("availabilityZoneId",)),
        "availabilityZoneId": string(computed=True, force_new=True, conflicts=("availabilityZone",)),
        "cidrBlock": string(computed=True, force_new=True, validate=cidr_block()),
        "enableResourceNameDnsARecordOnLaunch": boolean(default=False),
        "mapPublicIpOnLaunch": boolean(default=False),
        "privateDnsHostnameTypeOnLaunch": string(computed=True, allowed=("ip-name", "resource-name")),
        "vpcId": string(required=True, force_new=True),
    },
    outputs={"ownerId": string()},
    find=("describe_subnets", "SubnetIds[]", "Subnets[]"),
    gone=("InvalidSubnetID.NotFound",),
    create=("create_subnet", "Subnet.SubnetId"),
    fields={
        "arn": "SubnetArn",
        "enableResourceNameDnsARecordOnLaunch": "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord",
        "privateDnsHostnameTypeOnLaunch": "PrivateDnsNameOptionsOnLaunch.HostnameType",
    },
    switch=("modify_subnet_attribute", "SubnetId"),
    state=State("State", wanted=("available",)),
    arn="subnet/{id}",
    tags="subnet",
    delete=("delete_subnet", "SubnetId"),
    busy=("DependencyViolation",),
)

RESOURCES = served(SUBNET)
