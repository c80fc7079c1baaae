"""VPCs, subnets, route tables and zones.

Cannot prove: AWS's order of checks where two of them fail.
"""

from typing import Any

import pytest

from tests.engine.cloud.conftest import REGION, Network, make_group, make_subnet, refused

pytestmark = pytest.mark.engine


def snapshot(ec2: Any) -> dict[str, Any]:
    """Everything that a VPC could leave behind."""
    return {
        "vpcs": ec2.describe_vpcs()["Vpcs"],
        "subnets": ec2.describe_subnets()["Subnets"],
        "tables": ec2.describe_route_tables()["RouteTables"],
        "groups": ec2.describe_security_groups()["SecurityGroups"],
        "rules": ec2.describe_security_group_rules()["SecurityGroupRules"],
        "acls": ec2.describe_network_acls()["NetworkAcls"],
        "interfaces": ec2.describe_network_interfaces()["NetworkInterfaces"],
        "endpoints": ec2.describe_vpc_endpoints()["VpcEndpoints"],
        "tags": ec2.describe_tags()["Tags"],
    }


def test_a_network_that_is_taken_down_leaves_the_cloud_as_it_was(ec2: Any) -> None:
    before = snapshot(ec2)
    tags = [{"Key": "Name", "Value": "walk-through"}]
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}])["Vpc"][
        "VpcId"
    ]
    subnet_id = make_subnet(ec2, vpc_id, "10.0.1.0/24", "a")
    table_id = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    association_id = ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)["AssociationId"]
    group_id = make_group(ec2, vpc_id, "vpn")
    ec2.create_tags(Resources=[subnet_id, table_id, group_id], Tags=tags)

    with refused("DependencyViolation", vpc_id):
        ec2.delete_vpc(VpcId=vpc_id)
    with refused("DependencyViolation", table_id):
        ec2.delete_route_table(RouteTableId=table_id)
    ec2.disassociate_route_table(AssociationId=association_id)
    ec2.delete_route_table(RouteTableId=table_id)
    ec2.delete_subnet(SubnetId=subnet_id)
    with refused("DependencyViolation", vpc_id):
        ec2.delete_vpc(VpcId=vpc_id)
    ec2.delete_security_group(GroupId=group_id)
    ec2.delete_vpc(VpcId=vpc_id)
    assert snapshot(ec2) == before
    with refused("InvalidVpcID.NotFound", vpc_id):
        ec2.describe_vpcs(VpcIds=[vpc_id])


@pytest.mark.parametrize(("cidr", "code"), [("10.0.0.0/15", "InvalidVpc.Range"), ("10.0.0.0/29", "InvalidVpc.Range")])
def test_a_vpc_is_a_16_to_a_28(ec2: Any, cidr: str, code: str) -> None:
    with refused(code, cidr):
        ec2.create_vpc(CidrBlock=cidr)


def test_blocks_are_made_canonical(ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.20.3.4/16")["Vpc"]
    assert vpc["CidrBlock"] == "10.20.0.0/16"
    subnet = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.20.7.9/24")["Subnet"]
    assert subnet["CidrBlock"] == "10.20.7.0/24"
    with refused("InvalidParameterValue", "ten"):
        ec2.create_vpc(CidrBlock="ten")


def test_a_subnet_has_a_size_a_place_and_no_neighbour_in_it(ec2: Any, network: Network) -> None:
    for cidr, code in {
        "10.0.1.128/25": "InvalidSubnet.Conflict",
        "10.1.0.0/24": "InvalidSubnet.Range",
        "10.0.9.0/29": "InvalidSubnet.Range",
    }.items():
        with refused(code, cidr):
            make_subnet(ec2, network.vpc_id, cidr, "a")


def test_a_subnet_is_in_a_zone_of_its_region(ec2: Any, network: Network) -> None:
    for zone in (f"{REGION}b", "us-east-1a"):
        with refused("InvalidParameterValue", zone, f"{REGION}a, {REGION}c, {REGION}d"):
            ec2.create_subnet(VpcId=network.vpc_id, CidrBlock="10.0.9.0/24", AvailabilityZone=zone)
    by_id = ec2.create_subnet(VpcId=network.vpc_id, CidrBlock="10.0.9.0/24", AvailabilityZoneId="apne1-az1")["Subnet"]
    assert by_id["AvailabilityZone"] == f"{REGION}c"
    assert ec2.describe_subnets(SubnetIds=[by_id["SubnetId"]])["Subnets"][0]["AvailabilityZoneId"] == "apne1-az1"


def test_a_subnet_that_does_not_exist_is_named(ec2: Any) -> None:
    with refused("InvalidSubnetID.NotFound", "subnet-0123456789abcdef0"):
        ec2.describe_subnets(SubnetIds=["subnet-0123456789abcdef0"])
    with refused("InvalidSubnetID.NotFound", "subnet-0123456789abcdef0"):
        ec2.delete_subnet(SubnetId="subnet-0123456789abcdef0")


def test_a_subnet_counts_its_free_addresses(ec2: Any, network: Network) -> None:
    def free() -> int:
        (subnet,) = ec2.describe_subnets(SubnetIds=[network.subnet_a])["Subnets"]
        count: int = subnet["AvailableIpAddressCount"]
        return count

    assert free() == 251
    ec2.create_network_interface(SubnetId=network.subnet_a)
    assert free() == 250


def test_dns_attributes_are_set_and_shown(ec2: Any, network: Network) -> None:
    def attribute(name: str) -> bool:
        key = name[0].upper() + name[1:]
        value: bool = ec2.describe_vpc_attribute(VpcId=network.vpc_id, Attribute=name)[key]["Value"]
        return value

    names = ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics")
    assert [attribute(name) for name in names] == [True, False, False]
    ec2.modify_vpc_attribute(VpcId=network.vpc_id, EnableDnsHostnames={"Value": True})
    ec2.modify_vpc_attribute(VpcId=network.vpc_id, EnableDnsSupport={"Value": False})
    assert [attribute(name) for name in names] == [False, True, False]


def test_a_vpc_is_found_with_what_aws_made_along_with_it(ec2: Any, network: Network) -> None:
    in_vpc = [{"Name": "vpc-id", "Values": [network.vpc_id]}]
    main = ec2.describe_route_tables(Filters=[*in_vpc, {"Name": "association.main", "Values": ["true"]}])
    assert [route["DestinationCidrBlock"] for route in main["RouteTables"][0]["Routes"]] == ["10.0.0.0/16"]
    acl = ec2.describe_network_acls(Filters=[*in_vpc, {"Name": "default", "Values": ["true"]}])["NetworkAcls"]
    assert {one["SubnetId"] for one in acl[0]["Associations"]} == {network.subnet_a, network.subnet_c}
    group = ec2.describe_security_groups(Filters=[*in_vpc, {"Name": "group-name", "Values": ["default"]}])
    assert len(group["SecurityGroups"]) == 1
    with refused("DependencyViolation", main["RouteTables"][0]["RouteTableId"]):
        ec2.delete_route_table(RouteTableId=main["RouteTables"][0]["RouteTableId"])


def test_a_subnet_has_one_route_table_of_its_own_vpc(ec2: Any, network: Network) -> None:
    first, second = (ec2.create_route_table(VpcId=network.vpc_id)["RouteTable"]["RouteTableId"] for _ in range(2))
    association_id = ec2.associate_route_table(RouteTableId=first, SubnetId=network.subnet_a)["AssociationId"]
    assert ec2.associate_route_table(RouteTableId=first, SubnetId=network.subnet_a)["AssociationId"] == association_id
    with refused("Resource.AlreadyAssociated", second):
        ec2.associate_route_table(RouteTableId=second, SubnetId=network.subnet_a)
    replaced = ec2.replace_route_table_association(AssociationId=association_id, RouteTableId=second)
    (table,) = ec2.describe_route_tables(
        Filters=[
            {"Name": "association.route-table-association-id", "Values": [replaced["NewAssociationId"]]},
        ]
    )["RouteTables"]
    assert table["RouteTableId"] == second
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    elsewhere = make_subnet(ec2, other, "10.1.1.0/24", "a")
    with refused("InvalidParameterValue", "different networks"):
        ec2.associate_route_table(RouteTableId=first, SubnetId=elsewhere)


def test_a_deleted_subnet_takes_its_association_along(ec2: Any, network: Network) -> None:
    table = ec2.create_route_table(VpcId=network.vpc_id)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=network.subnet_a)
    ec2.delete_subnet(SubnetId=network.subnet_a)
    assert ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Associations"] == []
    ec2.delete_route_table(RouteTableId=table)


@pytest.mark.parametrize(
    "filters",
    [
        [],
        [{"Name": "state", "Values": ["available"]}],
        [{"Name": "opt-in-status", "Values": ["opt-in-not-required", "opted-in"]}],
        [{"Name": "zone-type", "Values": ["availability-zone"]}],
    ],
)
def test_zones_are_listed_whatever_the_provider_filters_by(ec2: Any, filters: list[dict[str, Any]]) -> None:
    zones = ec2.describe_availability_zones(Filters=filters)["AvailabilityZones"]
    assert [(zone["ZoneName"], zone["ZoneId"]) for zone in zones] == [
        (f"{REGION}a", "apne1-az4"),
        (f"{REGION}c", "apne1-az1"),
        (f"{REGION}d", "apne1-az2"),
    ]
    assert {zone["State"] for zone in zones} == {"available"}


def test_another_region_is_another_cloud(client: Any, network: Network) -> None:
    vpcs = client("ec2", "eu-west-1").describe_vpcs()["Vpcs"]
    assert network.vpc_id not in [vpc["VpcId"] for vpc in vpcs]


def test_the_images_of_amazon_are_there_and_one_s_own_beside_them(ec2: Any) -> None:
    of_amazon = ec2.describe_images(Owners=["amazon"])["Images"]
    assert len(of_amazon) > 100
    own = ec2.register_image(Name="own", Architecture="arm64")["ImageId"]
    assert [image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]] == [own]
    assert ec2.describe_images(Owners=["amazon"])["Images"] == of_amazon
    ec2.deregister_image(ImageId=own)
    assert ec2.describe_images(Owners=["self"])["Images"] == []
